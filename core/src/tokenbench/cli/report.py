"""``bench report``: renders one finished run, or several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tokenbench.api.errors import UsageError

from .streams import Command, coloured, columns, output, write_bytes

if TYPE_CHECKING:
    from tokenbench.api import Artifact, View
    from tokenbench.plugins.instances import PluginInstances
    from tokenbench.store.layout import RunDirectory
    from tokenbench.suite.schema import PluginRef


@click.command("report", cls=Command)
@click.argument("run", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--reporter",
    "reporters",
    multiple=True,
    metavar="NAME[:...]",
    help="Reporter to use instead of the run's own; repeat for several.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the files. Default: reports/ of the run; for several runs, ./reports.",
)
@click.option(
    "--rates",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Your own rates and token prices (YAML), for reporters that show costs.",
)
@click.pass_obj
def command(
    obj: dict[str, Any],
    run: tuple[Path, ...],
    reporters: tuple[str, ...],
    out: Path | None,
    rates: Path | None,
) -> None:
    """Render finished runs again, with the reporters of the first run or those of --reporter."""
    from tokenbench.suite.plugin_ref import parse_plugin_ref

    ref = [parse_plugin_ref(text, where="--reporter") for text in reporters] or None
    _render(run, ref, obj["without"], out, rates)


def render(directory: Path, ref: Sequence[PluginRef] | None, without: tuple[str, ...]) -> None:
    """Render one run; reporters None: those of its suite."""
    _render((directory,), ref, without, None, None)


def _render(
    runs: Sequence[Path],
    ref: Sequence[PluginRef] | None,
    without: tuple[str, ...],
    out: Path | None,
    rates: Path | None,
) -> None:
    from tokenbench.api import View
    from tokenbench.measure.definitions import DEFINITIONS
    from tokenbench.plugins.instances import PluginInstances
    from tokenbench.plugins.registry import PluginRegistry
    from tokenbench.store.layout import RunDirectory
    from tokenbench.store.view import read_view

    directories = [RunDirectory.open(path) for path in runs]
    view = View(
        runs=tuple(read_view(directory) for directory in directories),
        definitions=DEFINITIONS,
        width=columns(output()),
        color=coloured(output()),
    )
    registry = PluginRegistry(without=without)
    plugins = PluginInstances(registry)
    wanted = ref if ref is not None else _reporters(directories[0])
    with_costs = {one.name for one in wanted if plugins.spec("reporter", one.name).economics}
    if with_costs:
        from .rates import with_economics

        costed = with_economics(registry, view, rates)
    elif rates is not None:
        raise UsageError("--rates: no reporter shows costs", hint="name one that does: --reporter")
    folder = out or _folder(directories)
    taken: set[str] = set()
    for one in wanted:
        for artifact in _artifacts(plugins, one, costed if one.name in with_costs else view):
            _put(artifact, folder, taken)


def _folder(directories: Sequence[RunDirectory]) -> Path:
    """A run's own reports; for several runs a folder named after them in the current one."""
    if len(directories) == 1:
        return directories[0].path / "reports"
    return Path("reports", "+".join(directory.id.rpartition("-")[2] for directory in directories))


def _reporters(directory: RunDirectory) -> Sequence[PluginRef]:
    import attrs

    from tokenbench.suite.schema import Suite
    from tokenbench.suite.structure import read_suite

    state = directory.read_json("run.json")
    if isinstance(state, dict) and state.get("imported"):
        return attrs.fields(Suite).reporters.default or ()
    file = directory.path / "suite.json"
    try:
        return read_suite(file)[0].reporters
    except UsageError as error:
        raise UsageError(
            f"the run's own reporters are unknown: {error.message}",
            hint="name them: bench report RUN --reporter console",
        ) from None


def _artifacts(plugins: PluginInstances, ref: PluginRef, view: View) -> list[Artifact]:
    return list(plugins.reporter(ref).render(view))


def _put(artifact: Artifact, folder: Path, taken: set[str]) -> None:
    """Write an artifact; a second one of the same name gets a number."""
    from tokenbench.store.files import guarded, write_atomic

    if artifact.name is None:
        write_bytes(artifact.content)
        return
    target = folder / Path(artifact.name).name
    stem, number = target.stem, 1
    while target.name in taken:
        number += 1
        target = target.with_stem(f"{stem}-{number}")
    taken.add(target.name)
    with guarded(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomic(target, artifact.content)
    click.echo(f"wrote {target}", err=True)
