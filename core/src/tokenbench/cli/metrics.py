"""``bench metrics``: the definition of every metric."""

from __future__ import annotations

import json

import click


@click.command("metrics")
@click.argument("pattern", required=False)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def command(pattern: str | None, as_json: bool) -> None:
    """Print the definition of every metric (of those whose name contains PATTERN)."""
    from tokenbench.measure.definitions import DEFINITIONS, DEFINITIONS_VERSION

    found = [d for d in DEFINITIONS if pattern is None or pattern in d.name]
    if as_json:
        import attrs

        rows = {"version": DEFINITIONS_VERSION, "metrics": [attrs.asdict(d) for d in found]}
        click.echo(json.dumps(rows, indent=2))
        return
    click.echo(f"measurement definitions, version {DEFINITIONS_VERSION}")
    for definition in found:
        better = {True: "higher is better", False: "lower is better", None: "neither is better"}
        click.echo(f"\n{definition.name}  [{definition.unit}]  {definition.title}")
        click.echo(f"  {definition.definition} ({better[definition.higher_is_better]})")
