"""``bench compare``: what changed from one run to another, beyond the noise."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .streams import Command, echo, write_bytes

if TYPE_CHECKING:
    from tokenbench.api import RunView
    from tokenbench.compare.comparison import Comparison
    from tokenbench.compare.gate import Condition
    from tokenbench.compare.paired import PairedEval

    from .compare_blocks import Block

REGRESSION = 7
"""Exit code: a condition of ``--fail-on`` is met."""


@click.command("compare", cls=Command)
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Judge this metric instead of output throughput, median TPOT and median TTFT.",
)
@click.option(
    "--across",
    multiple=True,
    metavar="FIELD",
    help="Also match points that differ in FIELD: engine, hardware, precision, layout ...",
)
@click.option(
    "--at",
    metavar="X,Y,...",
    help="Interactivities (tok/s/user) at which frontiers are compared. Default: 5 in the common "
    "range.",
)
@click.option(
    "--fail-on",
    "conditions",
    multiple=True,
    metavar="CONDITION",
    help='Exit with code 7 if it holds: "regression>3%", or "METRIC>3%" for one metric.',
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "html", "json"]),
    default="text",
    show_default=True,
    help="Output format; html is one self-contained page (`> compare.html`).",
)
@click.option("--json", "form", flag_value="json", help="Same as --format json.")
@click.pass_context
def command(
    ctx: click.Context,
    a: Path,
    b: Path,
    metrics: tuple[str, ...],
    across: tuple[str, ...],
    at: str | None,
    conditions: tuple[str, ...],
    form: str,
) -> None:
    """Compare run directory B (the newer run, or the candidate) with A.

    Points match if they have the same identity, or differ only in the engine's version and
    settings. A series of at least 5 load levels with 3 repeats each gets a verdict per metric:
    better, worse, or no change beyond the noise. Evals of both runs are compared question by
    question.
    """
    from tokenbench.compare.comparison import compare
    from tokenbench.compare.gate import parse_condition
    from tokenbench.store.layout import RunDirectory
    from tokenbench.store.view import read_view

    from .compare_blocks import blocks
    from .compare_evals import eval_blocks, paired_evals

    asked = [parse_condition(text) for text in conditions]
    first, second = (read_view(RunDirectory.open(path)) for path in (a, b))
    comparison = compare(
        first.results, second.results, metrics=metrics, across=across, at=numbers(at)
    )
    evals = paired_evals((a, b), (first, second), across)
    if form == "json":
        _print_json(comparison, evals, first, second)
    else:
        _print([*blocks(comparison, first, second), *eval_blocks(evals)], first, second, form)
    _judge(ctx, comparison, asked)


def _print(parts: Sequence[Block], first: RunView, second: RunView, form: str) -> None:
    from .compare_html import as_html
    from .compare_text import as_markdown, show

    if form == "text":
        show(parts)
    else:
        page = as_html(parts, first, second) if form == "html" else as_markdown(parts)
        write_bytes(page.encode())


def _print_json(
    comparison: Comparison, evals: Sequence[PairedEval], first: RunView, second: RunView
) -> None:
    from .compare_evals import eval_data
    from .compare_text import as_data

    data = as_data(comparison, first, second) | {"evals": eval_data(evals)}
    echo(json.dumps(data, indent=2, allow_nan=False))


def numbers(text: str | None) -> list[float]:
    """Interactivities from ``--at``; none without it.

    Raises:
        UsageError: they are not numbers above 0.
    """
    from tokenbench.api import UsageError

    parts = [] if text is None else text.split(",")
    try:
        found = [float(part) for part in parts]
    except ValueError:
        found = [math.nan]
    if not all(0 < number < math.inf for number in found):
        raise UsageError(
            f"--at {text}: expected numbers above 0", hint="for example --at 35,60,120"
        )
    return found


def _judge(ctx: click.Context, comparison: Comparison, conditions: Sequence[Condition]) -> None:
    """End with the exit code of the conditions."""
    from tokenbench.api import MeasurementInvalid
    from tokenbench.compare.gate import failures

    from .compare_blocks import percent

    failed, open_ = failures(comparison, conditions)
    for one in failed:
        where = ", ".join(level.level for level in one.single) or "the mean"
        click.echo(
            f"regression: {one.metric}: {percent(one.relative)} on average (significant: {where}): "
            f"{one.series}",
            err=True,
        )
    if failed:
        ctx.exit(REGRESSION)
    if conditions and (open_ or not comparison.verdicts):
        reason = open_[0].reason if open_ else "A and B have no matched points"
        raise MeasurementInvalid(
            f"the condition of --fail-on cannot be judged: {reason}",
            hint="measure at least 5 load levels with `--repeats 3` or more on both sides",
        )
