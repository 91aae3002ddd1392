"""``bench cost``: which hardware, engine or setting is cheapest at the speed that users need."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .numbers import FiniteRange
from .streams import Command, echo

if TYPE_CHECKING:
    from tokenbench.economics.rates import PriceColumns
    from tokenbench.plugins.catalogue import Catalogue

    from .cost_table import Row

FIELDS = ("model", "hardware", "engine", "engine_version", "precision", "speculation", "layout")
_POSITIVE = FiniteRange(0, min_open=True)


@click.command("cost", cls=Command)
@click.argument("run", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--at", required=True, metavar="X,Y,...", help="Interactivities, tok/s/user.")
@click.option(
    "--by",
    default="precision",
    show_default=True,
    metavar="FIELD,...",
    help="Fields that distinguish series, besides model, hardware and workload: "
    f"{', '.join(FIELDS)}.",
)
@click.option(
    "--where",
    "filters",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Only points with this value of a field or workload option (input_tokens=8192).",
)
@click.option(
    "--rates",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Your own rates and token prices (YAML); they replace those of the hardware catalogue.",
)
@click.option(
    "--ownership",
    type=click.Choice(["hyperscaler", "neocloud", "rent_3yr"]),
    default="neocloud",
    show_default=True,
    help="Who owns the accelerators.",
)
@click.option("--provider", metavar="NAME", help="Add revenue and margin at its prices (--rates).")
@click.option(
    "--hits",
    type=FiniteRange(0, 100),
    default=0.0,
    metavar="%",
    help="Share of the input tokens that come from the prefix cache.",
)
@click.option(
    "--faster", type=FiniteRange(0, min_open=True), help="Price of a faster tier, tok/s/user."
)
@click.option(
    "--mw",
    type=FiniteRange(0, min_open=True),
    help="Power budget in MW: show its fleet, with cost and revenue.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    obj: dict[str, Any],
    run: tuple[Path, ...],
    at: str,
    by: str,
    filters: tuple[str, ...],
    file: Path | None,
    ownership: str,
    provider: str | None,
    hits: float,
    faster: float | None,
    mw: float | None,
    as_json: bool,
) -> None:
    """Show the cost per million tokens of each series at equal interactivity, cheapest first.

    Throughput is read from the curve through the frontier of each series; nothing is extrapolated.
    """
    from tokenbench.plugins.catalogue import read_catalogue
    from tokenbench.plugins.registry import PluginRegistry

    from .compare import numbers
    from .cost_table import as_data, rows_of, series_of, show

    targets = numbers(at)
    series = series_of(run, by.split(","), filters)
    money = _Money(
        read_catalogue(PluginRegistry(without=obj["without"])), file, ownership, provider
    )
    found: list[Row] = []
    for one in series:
        calculation = _calculate(one.points, targets, money, hits / 100, faster, mw)
        found += rows_of(one, targets, calculation)
    if as_json:
        echo(json.dumps(as_data(found), indent=2, allow_nan=False))
    else:
        show(found, faster=faster, mw=mw, revenue=provider is not None)


class _Money:
    """Rates and prices of points, from a user's file and the catalogue."""

    def __init__(
        self, catalogue: Catalogue, file: Path | None, ownership: str, provider: str | None
    ) -> None:
        from tokenbench.api import UsageError
        from tokenbench.economics.points import catalogue_rates

        from .rates import read_rates

        self.catalogue, self.ownership, self.provider = catalogue, ownership, provider
        own = read_rates(file)
        if provider is not None and own is None:
            raise UsageError("--provider needs a file of prices", hint="name it: --rates FILE")
        self.prices = own.prices if own else ()
        skus = (entry.sku for entry in catalogue.entries)
        self.rates = catalogue_rates(skus, own.rates if own else None, "")[0].rates

    def prices_of(self, model: str) -> PriceColumns | None:
        """The prices of the chosen provider."""
        from tokenbench.economics.rates import price_columns

        if self.provider is None:
            return None
        return price_columns(self.prices, [model], self.provider)


def _calculate(
    points: Sequence[Any],
    targets: Sequence[float],
    money: _Money,
    hit_share: float,
    faster: float | None,
    mw: float | None,
) -> Any:
    from tokenbench.economics.calculator import calculate

    from .rates import sku_of

    chip = sku_of(money.catalogue, points[0].hardware)
    sku = chip.name if chip else points[0].hardware or None
    return calculate(
        points,
        targets,
        usd_per_hour=money.rates.usd_per_hour([sku], money.ownership),
        all_in_w=money.rates.all_in_w([sku]),
        prices=money.prices_of(points[0].model),
        hit_share=hit_share,
        faster=faster,
        budget_mw=mw,
    )
