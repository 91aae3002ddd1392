"""A comparison as headings, lines, tables and verdicts, for all output formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from tokenbench.api import Measurement, PointResult, RunView
from tokenbench.compare.change import Change
from tokenbench.compare.comparison import Comparison, Series, definition
from tokenbench.compare.frontiers import FrontierPair
from tokenbench.compare.match import Matching
from tokenbench.compare.series import SeriesVerdict, Verdict

MIN_FRONTIER = 2
NONE = "-"
_SCALES = {"s": ("ms", 1e3)}


@attrs.frozen(kw_only=True)
class Block:
    """One part of a comparison, in plain text. `table`: the header first. `right`: its columns of
    numbers. `verdicts`: metric, verdict and explanation.
    """

    heading: str | None = None
    lines: tuple[str, ...] = ()
    table: tuple[tuple[str, ...], ...] = ()
    right: tuple[int, ...] = ()
    verdicts: tuple[tuple[str, Verdict, str], ...] = ()


def percent(value: float | None) -> str:
    """``+5.1 %``."""
    return NONE if value is None else f"{value:+.1%}".replace("%", " %")


def blocks(comparison: Comparison, a: RunView, b: RunView) -> Iterator[Block]:
    """Matching, a block per series, a block per frontier."""
    yield Block(lines=(f"A: {a.path}", f"B: {b.path}", *_matching(comparison.matching)))
    for series in comparison.series:
        yield _series(series)
    for one in comparison.frontiers:
        if max(one.points) >= MIN_FRONTIER:
            yield _frontier(one)


def _matching(matching: Matching) -> Iterator[str]:
    equal = sum(1 for pair in matching.pairs if not pair.differs)
    other = len(matching.pairs) - equal
    yield f"matched: {len(matching.pairs)} points, {equal} of them by identity"
    if other:
        differing = dict.fromkeys(text for pair in matching.pairs for text in pair.differs)
        yield f"  {other} that differ in {'; '.join(differing)}"
    for side, points in (
        ("A", [pair.a for pair in matching.pairs]),
        ("B", [pair.b for pair in matching.pairs]),
    ):
        flagged = [p.level.label for p in points if p.measurement is Measurement.FLAGGED]
        if flagged:
            yield (
                f"flagged: {len(flagged)} of {side}: {', '.join(dict.fromkeys(flagged))}; "
                "read the reasons in its report before you trust a verdict"
            )
    for side, left in (("A", matching.only_a), ("B", matching.only_b)):
        reasons: dict[str, list[str]] = {}
        for one in left:
            reasons.setdefault(one.reason, []).append(_named(one.point))
        for reason, names in reasons.items():
            listed = "; ".join(names[:3]) + (f"; {len(names) - 3} more" if len(names) > 3 else "")
            yield f"not compared: {len(names)} of {side}: {reason}: {listed}"


def _named(point: PointResult) -> str:
    return f"{point.model} on {point.engine}, {point.hardware} {point.layout} {point.level.label}"


def _series(series: Series) -> Block:
    header = ("load", "metric", "unit", "A", "B", "change", "95 % interval", "detectable")
    rows = [
        (pair.a.level.label if number == 0 else "", *_cells(one))
        for pair in series.pairs
        for number, one in enumerate(series.changes(pair))
    ]
    return Block(
        heading=series.label,
        table=(header, *rows),
        right=(3, 4, 5),
        verdicts=tuple((one.metric, one.verdict, _explained(one)) for one in series.verdicts),
    )


def _cells(one: Change) -> tuple[str, ...]:
    unit, scale = _SCALES.get(definition(one.metric).unit, (definition(one.metric).unit, 1.0))
    values = [NONE if v is None else _figure(v * scale) for v in (one.a, one.b)]
    interval = "none" if one.low is None else f"{percent(one.low)} to {percent(one.high)}"
    least = NONE if one.detectable is None else f"{one.detectable:.1%}".replace("%", " %")
    return (one.metric, unit, *values, percent(one.relative), interval, least)


def _figure(value: float) -> str:
    """Four significant digits, and all digits before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _explained(one: SeriesVerdict) -> str:
    if one.verdict is Verdict.TOO_LITTLE_DATA:
        return one.reason or ""
    assert one.detectable is not None
    text = (
        f"{percent(one.relative)} over {len(one.levels)} load levels "
        f"({percent(one.low)} to {percent(one.high)}); a change of "
        f"{one.detectable:.1%} would be found".replace("% would", " % would")
    )
    if one.single:
        levels = ", ".join(f"{level.level} {percent(level.relative)}" for level in one.single)
        text += f"; beyond the noise on their own: {levels}"
    return text


def _frontier(one: FrontierPair) -> Block:
    heading = f"frontier: {one.family}"
    if one.low is None:
        return Block(heading=heading, lines=("  no interactivity was measured in both",))
    area = "" if one.area is None else f", area between them {percent(one.area)} of A"
    span = f"{one.low:.4g} to {one.high:.4g} tok/s/user"
    header = ("tok/s/user", "A tok/s/accel.", "B tok/s/accel.", "speed-up", "95 %", "cost B/A")
    return Block(
        heading=heading,
        lines=(f"  {one.points[0]} and {one.points[1]} points, {span}{area}",),
        table=(header, *_frontier_rows(one)),
        right=tuple(range(6)),
    )


def _frontier_rows(one: FrontierPair) -> Iterator[tuple[str, ...]]:
    for at in one.at:
        half = at.speed_up_half_width
        yield (
            f"{at.interactivity:.4g}",
            *(NONE if v is None else _figure(v) for v in (at.a, at.b)),
            NONE if at.speed_up is None else f"{at.speed_up:.3f}",
            NONE if half is None else f"± {half:.3f}",
            NONE if at.cost_ratio is None else f"{at.cost_ratio:.3f}",
        )


def judged(parts: Sequence[Block]) -> list[tuple[str, str, Verdict, str]]:
    """Series, metric, verdict and explanation of all verdicts."""
    return [(part.heading or "", *verdict) for part in parts for verdict in part.verdicts]
