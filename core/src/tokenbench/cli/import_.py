"""``bench import``: results of other tools become a run directory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .streams import Command, echo

if TYPE_CHECKING:
    from tokenbench.imports.write import Imported

_FORMATS = ("inferencex", "inferencex-agg", "vllm-serve", "aiperf", "guidellm", "llm-d")


@click.group("import")
def command() -> None:
    """Import what other tools measured."""


@command.command("results", cls=Command)
@click.argument("file", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--format", "name", type=click.Choice(_FORMATS), help="Default: recognised.")
@click.option(
    "--set",
    "facts",
    multiple=True,
    metavar="KEY=VALUE",
    help="A fact that the files do not state: engine, engine_version, model, precision, hardware, "
    "accelerators, layout, speculation, workload, date.",
)
@click.option(
    "--runs",
    "base",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Folder of the run directory.",
)
@click.option(
    "--reporter",
    "reporters",
    multiple=True,
    metavar="NAME[:...]",
    help="Also render the run, as `bench report` does.",
)
@click.pass_obj
def results(
    obj: dict[str, Any],
    file: tuple[Path, ...],
    name: str | None,
    facts: tuple[str, ...],
    base: Path,
    reporters: tuple[str, ...],
) -> None:
    """Convert result files to a run directory, for `bench report` and `bench compare`.

    Files: rows of InferenceX (CSV, JSON), and results of `vllm bench serve`, AIPerf, GuideLLM and
    llm-d-benchmark. Files that describe the same point are its repeats.
    """
    from tokenbench.imports.facts import parse
    from tokenbench.imports.write import import_files
    from tokenbench.run.provenance import command_line
    from tokenbench.suite.plugin_ref import parse_plugin_ref

    wanted = [parse_plugin_ref(text, where="--reporter") for text in reporters]
    sku = _skus(obj["without"])
    imported = import_files(
        file,
        base,
        name=name,
        facts=parse(facts, sku),
        sku=sku,
        command=" ".join(command_line()),
    )
    _show(imported)
    if wanted:
        from .report import render

        render(imported.directory.path, wanted, obj["without"])


def _skus(without: tuple[str, ...]) -> Callable[[str], str]:
    """The catalogues' name of an accelerator; names that no catalogue has stay."""
    from tokenbench.api import BenchError
    from tokenbench.plugins.catalogue import read_catalogue
    from tokenbench.plugins.registry import PluginRegistry

    catalogue = read_catalogue(PluginRegistry(without=without))

    def sku(name: str) -> str:
        for written in (name, name.replace("-", " ")):
            try:
                return catalogue.find(written).sku.name
            except BenchError:
                continue
        return name

    return sku


def _show(imported: Imported) -> None:
    points = imported.results
    same = len(points) == imported.rows
    echo(
        f"{imported.format}: {imported.rows} measurements"
        + ("" if same else f" of {len(points)} points")
    )
    for title, values in (
        ("hardware", Counter(point.hardware for point in points)),
        ("engines", Counter(point.engine for point in points)),
        ("precisions", Counter(point.precision or "unknown" for point in points)),
    ):
        listed = ", ".join(f"{name} {count}" for name, count in values.most_common())
        echo(f"  {title}: {listed}")
    for note in imported.notes[1:]:
        echo(f"  note: {note}")
    echo(f"run directory: {imported.directory.path}")
