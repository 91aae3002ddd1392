"""``bench metrics``: the definition of every metric."""

from __future__ import annotations

import json

import click

from .streams import Command, echo


@click.command("metrics", cls=Command)
@click.argument("pattern", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(pattern: str | None, as_json: bool) -> None:
    """Print the definitions of all metrics and derived numbers, and the limits of all checks.

    With PATTERN, only those whose name contains it.
    """
    import attrs

    from tokenbench.api import UsageError
    from tokenbench.economics.definitions import DERIVED
    from tokenbench.measure.definitions import DEFINITIONS, DEFINITIONS_VERSION
    from tokenbench.measure.thresholds import CertificationThresholds, Limits

    found = [d for d in (*DEFINITIONS, *DERIVED) if pattern is None or pattern in d.name]
    limits = {
        name: limit
        for name, limit in attrs.asdict(CertificationThresholds(), recurse=False).items()
        if pattern is None or pattern in name
    }
    if not found and not limits:
        raise UsageError(
            f"no metric and no limit has {pattern!r} in its name", hint="`bench metrics` lists all"
        )
    if as_json:
        rows = {
            "version": DEFINITIONS_VERSION,
            "metrics": [attrs.asdict(d) for d in found],
            "certification": {
                name: attrs.asdict(limit) if isinstance(limit, Limits) else limit
                for name, limit in limits.items()
            },
        }
        echo(json.dumps(rows, indent=2))
        return
    echo(f"measurement definitions, version {DEFINITIONS_VERSION}")
    for definition in found:
        better = {True: "higher is better", False: "lower is better", None: "neither is better"}
        echo(f"\n{definition.name}  [{definition.unit}]  {definition.title}")
        echo(f"  {definition.definition} ({better[definition.higher_is_better]})")
    if limits:
        echo("\nlimits of certification, set by `certification:` in a suite")
    for name, limit in limits.items():
        echo(f"  {name}: {_limit(limit)}")


def _limit(limit: object) -> str:
    from tokenbench.measure.thresholds import Limits

    if not isinstance(limit, Limits):
        return ", ".join(limit) if isinstance(limit, tuple) else str(limit)
    invalid = "never" if limit.invalid is None else f"{limit.invalid:g}"
    return f"flagged beyond {limit.flag:g}, invalid beyond {invalid}"
