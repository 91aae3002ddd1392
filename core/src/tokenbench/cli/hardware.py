"""``bench hardware``: the SKUs of all catalogues, with the source and date of each figure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from .figures import in_unit, with_unit
from .streams import Command, echo
from .table import print_table, printable

if TYPE_CHECKING:
    from tokenbench.api import Sku
    from tokenbench.plugins.catalogue import Catalogue, CatalogueEntry

_PRECISIONS = ("fp4", "fp8", "bf16")


@click.group("hardware", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List accelerators with their figures and prices. Without a command: list."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_command)


@command.command("list", cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all figures.")
@click.pass_obj
def list_command(obj: dict[str, tuple[str, ...]], as_json: bool = False) -> None:
    """List the SKUs of all hardware plugins."""
    catalogue = _catalogue(obj)
    if as_json:
        echo(json.dumps([_data(entry) for entry in catalogue.entries], indent=2))
        return
    if not catalogue.entries:
        echo("no hardware plugin is installed")
        return
    rows = [_row(entry.sku) for entry in catalogue.entries]
    print_table([*_head(), *rows], right=range(2, len(rows[0])))
    echo(
        "\nFLOP/s are dense. All-in power and prices are per accelerator, from the newest set that "
        "has them.\n- is not known. `bench hardware show SKU` has all figures with source and date."
    )


@command.command("show", cls=Command)
@click.argument("name", metavar="SKU")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show_command(obj: dict[str, tuple[str, ...]], name: str, as_json: bool) -> None:
    """Show the figures of one SKU.

    Each has its source and date. Unknown figures are named.
    """
    distribution, _, plain = name.rpartition("/")
    entry = _catalogue(obj).find(plain, distribution or None)
    if as_json:
        echo(json.dumps(_data(entry), indent=2))
        return
    sku = entry.sku
    label = "" if sku.label is None else f"  {sku.label}"
    echo(printable(f"{sku.name}{label}  of {sku.vendor}"))
    echo(f"hardware plugin {entry.plugin.key} of {entry.distribution}")
    if sku.aliases:
        echo(printable(f"names in drivers: {', '.join(sku.aliases)}"))
    echo()
    table = [["FIGURE", "VALUE", "DATE", "SOURCE"]]
    for figure in sku.figures():
        source = figure.source if figure.note is None else f"{figure.source} ({figure.note})"
        table.append(
            [figure.name, with_unit(figure.name, figure.value), figure.date, printable(source)]
        )
    print_table(table)
    if sku.unknown():
        echo(f"\nnot known: {', '.join(sku.unknown())}")


def _catalogue(obj: dict[str, tuple[str, ...]]) -> Catalogue:
    """All catalogues. Those that cannot be read are named on standard error."""
    from tokenbench.plugins.catalogue import read_catalogue
    from tokenbench.plugins.registry import PluginRegistry

    catalogue = read_catalogue(PluginRegistry(without=obj["without"]))
    for name, reason in catalogue.unread.items():
        click.echo(f"warning: no SKUs of {name}: {printable(reason)}", err=True)
    return catalogue


def _head() -> list[list[str]]:
    """Names of the columns, and their units below."""
    names = ["memory", "bandwidth", *_PRECISIONS, "TDP", "all-in", "hyperscaler", "neocloud"]
    units = ["GiB", "TB/s", *["TFLOP/s"] * len(_PRECISIONS), "W", "kW", *["USD/h"] * 3]
    return [
        ["SKU", "VENDOR", *(name.upper() for name in names), "RENT 3 YEARS"],
        ["", "", *units],
    ]


def _row(sku: Sku) -> list[str]:
    values: dict[str, Any] = {
        "memory_bytes": sku.memory_bytes,
        "memory_bandwidth_bytes_s": sku.memory_bandwidth_bytes_s,
        **{f"dense_flops.{kind}": sku.dense_flops.get(kind) for kind in _PRECISIONS},
        "tdp_w": sku.tdp_w,
    }
    from tokenbench.api import OWNERSHIP

    for name in ("all_in_w", *(f"usd_per_hour.{model}" for model in OWNERSHIP)):
        newest = sku.newest(name)
        values[name] = None if newest is None else newest.value
    return [sku.name, sku.vendor, *(in_unit(name, value) for name, value in values.items())]


def _data(entry: CatalogueEntry) -> dict[str, Any]:
    """A SKU as plain data: figures by name, each with source and date."""
    import attrs

    sku = entry.sku
    figures = {
        figure.name: attrs.asdict(figure, filter=lambda field, _: field.name != "name")
        for figure in sku.figures()
    }
    return {
        "name": sku.name,
        "label": sku.label,
        "vendor": sku.vendor,
        "aliases": list(sku.aliases),
        "plugin": entry.plugin.key,
        "distribution": entry.distribution,
        "accelerated": entry.accelerated,
        "figures": figures,
        "unknown": list(sku.unknown()),
    }
