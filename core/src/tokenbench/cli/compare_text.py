"""A comparison as text, as Markdown, and as plain data."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from typing import Any

from tokenbench.api import RunView
from tokenbench.compare.comparison import Comparison, Series
from tokenbench.compare.match import Pair, Unmatched
from tokenbench.plan.canonical import plain

from .compare_blocks import Block, judged
from .streams import echo
from .table import print_table, printable

_MARKUP = re.compile(r"[\\`*_{}\[\]()#~|!$@]")


def show(parts: Sequence[Block]) -> None:
    """Print matching, changes and verdicts."""
    for part in parts:
        if part.heading is not None:
            echo()
            echo(printable(part.heading))
        for line in part.lines:
            indent = "  " if line.startswith("  ") else ""
            echo(indent + printable(line))
        if part.table:
            print_table([list(row) for row in part.table], right=part.right)
        for metric, verdict, text in part.verdicts:
            echo(f"  {metric}: {verdict}: {printable(text)}")


def as_markdown(parts: Sequence[Block]) -> str:
    """For pull requests and job summaries: verdicts first, then the tables."""
    return "\n".join(_markdown(parts)) + "\n"


def _markdown(parts: Sequence[Block]) -> Iterator[str]:
    yield "## Comparison"
    yield ""
    verdicts = judged(parts)
    yield from (
        f"- **{verdict}**: {_safe(metric)}: {_safe(text)} ({_safe(series)})"
        for series, metric, verdict, text in verdicts
    )
    if not verdicts:
        yield "No point of A and B can be compared: there is no verdict."
    for part in parts:
        yield ""
        if part.heading is not None:
            yield f"### {_safe(part.heading)}"
            yield ""
        if part.lines:
            yield from (f"- {_safe(line)}" for line in part.lines)
            yield ""
        if part.table:
            header, *rows = part.table
            marks = ["---:" if i in part.right else "---" for i in range(len(header))]
            for cells in (header, marks, *([_safe(cell) for cell in row] for row in rows)):
                yield f"| {' | '.join(cells)} |"


def _safe(text: str) -> str:
    """Untrusted text on one line, without markup; every special character is a reference."""
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", html.escape(printable(text)))


def as_data(comparison: Comparison, a: RunView, b: RunView) -> dict[str, Any]:
    """The comparison for ``--json``. Changes are shares: -0.05 is 5 % less."""
    matching = comparison.matching
    return {
        "schema": "tokenbench-comparison 1",
        "a": {"id": a.id, "path": a.path},
        "b": {"id": b.id, "path": b.path},
        "series": [_series(series) for series in comparison.series],
        "frontiers": [plain(one) for one in comparison.frontiers],
        "not_compared": {
            "a": [_left(one) for one in matching.only_a],
            "b": [_left(one) for one in matching.only_b],
        },
    }


def _series(series: Series) -> dict[str, Any]:
    return {
        "label": series.label,
        "points": [_pair(series, pair) for pair in series.pairs],
        "verdicts": [
            {name: value for name, value in plain(one).items() if name != "series"}
            for one in series.verdicts
        ],
    }


def _pair(series: Series, pair: Pair) -> dict[str, Any]:
    return {
        "level": pair.a.level.label,
        "a": pair.a.point,
        "b": pair.b.point,
        "matched_by": "description" if pair.differs else "identity",
        "differs": list(pair.differs),
        "measurement": {"a": str(pair.a.measurement), "b": str(pair.b.measurement)},
        "changes": [plain(one) for one in series.changes(pair)],
    }


def _left(one: Unmatched) -> dict[str, Any]:
    return {"point": one.point.point, "level": one.point.level.label, "reason": one.reason}
