"""``bench plugins``: list, show, check and create plugins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .streams import Command, echo
from .table import print_table, printable

if TYPE_CHECKING:
    from tokenbench.plugins.discovery import Candidate, Misplaced
    from tokenbench.plugins.state import Outcome


@click.group("plugins", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, check and create plugins. Without a command: list."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_command)


@command.command("list", cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--check", is_flag=True, help="Import each in its own process; show its state and capabilities."
)
@click.pass_obj
def list_command(
    obj: dict[str, tuple[str, ...]], as_json: bool = False, check: bool = False
) -> None:
    """List installed plugins. Only --check imports them."""
    from tokenbench.plugins.discovery import discover, misplaced

    candidates = discover(without=obj["without"])
    strays = misplaced()
    outcomes = _outcomes(candidates) if check else {}
    if as_json:
        rows = [*(_row(c, outcomes.get(c)) for c in candidates), *map(_stray_row, strays)]
        echo(json.dumps(rows, indent=2))
        return
    if not candidates and not strays:
        echo("no plugin is installed")
        return
    table = [["KIND", "NAME", "DISTRIBUTION", "VERSION", "API", *(["STATE"] if check else [])]]
    for c in candidates:
        state = [_state(outcomes[c])] if check else []
        table.append([c.kind, c.name, c.distribution, c.version, c.api or "-", *state])
    print_table(table)
    for stray in strays:
        origin = f"{stray.distribution} {stray.version}"
        echo(printable(f"not found: {origin}: {stray.message} ({stray.hint})"))


def _stray_row(stray: Misplaced) -> dict[str, Any]:
    return {
        "kind": None,
        "name": stray.name,
        "distribution": stray.distribution,
        "version": stray.version,
        "api": None,
        "state": "broken",
        "stage": "group",
        "message": stray.message,
        "hint": stray.hint,
        "log": None,
    }


def _outcomes(candidates: tuple[Candidate, ...]) -> dict[Candidate, Outcome]:
    from tokenbench.plugins.checking import check_all

    return check_all(candidates)


def _state(outcome: Outcome) -> str:
    from tokenbench.plugins.state import Broken

    if isinstance(outcome, Broken):
        return printable(f"{outcome.stage}: {outcome.message} ({outcome.hint})")
    words = [f"uses what is deprecated: {text}" for text in outcome.deprecated]
    for name, value in outcome.capabilities.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list | dict) else value
        words.append(name if shown is True else f"{name}: {shown}")
    return printable("; ".join(["ok", *words]))


def _row(candidate: Candidate, outcome: Outcome | None) -> dict[str, Any]:
    from tokenbench.plugins.state import Broken

    row: dict[str, Any] = {
        "kind": candidate.kind,
        "name": candidate.name,
        "distribution": candidate.distribution,
        "version": candidate.version,
        "api": candidate.api,
    }
    if isinstance(outcome, Broken):
        row["state"] = "broken"
        row["stage"], row["message"], row["hint"] = outcome.stage, outcome.message, outcome.hint
        row["log"] = str(outcome.log) if outcome.log else None
    elif outcome is not None:
        row["state"] = "ok"
        row["capabilities"], row["deprecated"] = outcome.capabilities, list(outcome.deprecated)
    return row


@command.command("show", cls=Command)
@click.argument("name", metavar="NAME")
@click.option("--kind", help="The plugin's kind, if several kinds have this name.")
@click.pass_obj
def show_command(obj: dict[str, tuple[str, ...]], name: str, kind: str | None) -> None:
    """Show a plugin's options and capabilities."""
    from tokenbench.plugins.page import page
    from tokenbench.plugins.registry import PluginRegistry

    registry = PluginRegistry(without=obj["without"])
    for found in registry.kinds_of(name, kind):
        echo(page(registry.candidate(found, name), registry.spec(found, name)))


@command.command("check", cls=Command)
@click.argument("name", metavar="NAME[:key=value,...]")
@click.option("--kind", help="The plugin's kind, if several kinds have this name.")
@click.pass_obj
def check_command(obj: dict[str, tuple[str, ...]], name: str, kind: str | None) -> int:
    """Run the conformance kit's levels 0 to 2.

    The plugin's own tests run all levels, with data from its author.
    """
    from tokenbench.api import OptionalFeatureMissing
    from tokenbench.plugins.registry import PluginRegistry
    from tokenbench.suite.plugin_ref import parse_plugin_ref

    try:
        from tokenbench_testing.kit import Verdict, checks_of, run_check
        from tokenbench_testing.subject import subject_of
    except ModuleNotFoundError as error:
        if error.name != "tokenbench_testing":
            raise
        raise OptionalFeatureMissing(
            "the conformance kit is not installed", hint="pip install tokenbench-testing"
        ) from error
    ref = parse_plugin_ref(name, where="NAME")
    code = 0
    for found in PluginRegistry(without=obj["without"]).kinds_of(ref.key, kind):
        subject = subject_of(found, ref.key, ref.options)
        findings = [run_check(item, subject) for item in checks_of(found, (0, 1, 2))]
        print_table(
            [
                [str(f.check.level), f.check.name, f.verdict.value, printable(f.reason)]
                for f in findings
            ]
        )
        counts = {v: sum(f.verdict is v for f in findings) for v in Verdict}
        said = ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items())
        echo(f"{found} {subject.name} of {subject.distribution}: {said}")
        code = 3 if counts[Verdict.FAILED] else code
    return code


@command.command("new", cls=Command)
@click.argument("kind")
@click.argument("name")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Folder (default: the name of the package)."
)
def new_command(kind: str, name: str, folder: Path | None) -> None:
    """Create a package that installs and passes the kit.

    KIND is the kind of plugin, such as workload; NAME is its name.
    """
    from tokenbench.plugins.scaffold import write_package

    made = write_package(kind, name, folder)
    echo(f"wrote {made.folder}/")
    for file in made.files:
        echo(f"  {file}")
    echo(f"next: pip install -e '{made.folder}[test]' && bench plugins check {name}")
