"""``bench plugins``: what is installed, from metadata alone unless asked to check."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tokenbench.plugins.discovery import Candidate


@click.command("plugins")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.option("--check", is_flag=True, help="Also import each plugin and say what is wrong.")
@click.pass_obj
def command(obj: dict[str, tuple[str, ...]], as_json: bool, check: bool) -> None:
    """List installed plugins."""
    from tokenbench.plugins.discovery import discover

    candidates = discover(without=obj["without"])
    states = _check(obj["without"], candidates) if check else {}
    if as_json:
        rows = [
            {
                "kind": c.kind,
                "name": c.name,
                "distribution": c.distribution,
                "version": c.version,
                **({"state": states[c]} if check else {}),
            }
            for c in candidates
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    if not candidates:
        click.echo("no plugin is installed")
        return
    table = [("KIND", "NAME", "DISTRIBUTION", "VERSION", *(("STATE",) if check else ()))]
    table += [
        (c.kind, c.name, c.distribution, c.version, *((states[c],) if check else ()))
        for c in candidates
    ]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        click.echo("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip())


def _check(without: tuple[str, ...], candidates: tuple[Candidate, ...]) -> dict[Candidate, str]:
    from tokenbench.plugins.host import PluginHost

    host = PluginHost(without=without)
    states = {}
    for candidate in candidates:
        broken = host.check(candidate)
        states[candidate] = "ok" if broken is None else f"{broken.stage}: {broken.message}"
    return states
