"""The comparison of two runs."""

from __future__ import annotations

import collections
import difflib
from collections.abc import Sequence

import attrs

from tokenbench.api import MetricDefinition, PointResult, UsageError
from tokenbench.measure.definitions import BY_NAME

from .change import Change, change, sides
from .frontiers import FrontierPair, frontiers
from .match import Matching, Pair, match
from .series import SeriesVerdict, judge

JUDGED = (
    ("output_tok_s.steady", "output_tok_s.whole"),
    ("tpot_s.p50",),
    ("ttft_s.p50",),
)
"""Metrics with a verdict, unless the user names others. Of alternatives, the first that all pairs
of a series have on both sides.
"""
SHOWN = (
    ("total_tok_s_per_accelerator.steady", "total_tok_s_per_accelerator.whole"),
    ("tpot_s.p99",),
    ("ttft_s.p99",),
    ("energy_j_per_output_token.accelerator",),
)
"""Metrics that are also shown, without a verdict."""


@attrs.frozen(kw_only=True)
class Series:
    """The matched points that differ only in the load level, and a verdict on each metric of
    `judged`. Metrics of `shown` have none.
    """

    label: str
    pairs: tuple[Pair, ...]
    judged: tuple[str, ...]
    shown: tuple[str, ...]
    verdicts: tuple[SeriesVerdict, ...] = ()

    def changes(self, pair: Pair) -> tuple[Change, ...]:
        """The changes of all its metrics at one load level."""
        return tuple(change(pair.a, pair.b, name) for name in (*self.judged, *self.shown))


@attrs.frozen(kw_only=True)
class Comparison:
    """Two runs, matched and judged."""

    matching: Matching
    series: tuple[Series, ...]
    frontiers: tuple[FrontierPair, ...] = ()

    @property
    def verdicts(self) -> tuple[SeriesVerdict, ...]:
        """The verdicts of all series."""
        return tuple(verdict for one in self.series for verdict in one.verdicts)


def compare(
    a: Sequence[PointResult],
    b: Sequence[PointResult],
    *,
    metrics: Sequence[str] = (),
    across: Sequence[str] = (),
    at: Sequence[float] = (),
) -> Comparison:
    """Compare run A with run B, which is newer or the candidate.

    Args:
        metrics: judged instead of `JUDGED`; no others are shown.
        across: fields that matched points may differ in (see :func:`~.match.match`).
        at: interactivities, in tok/s/user, at which frontiers are compared.

    Raises:
        UsageError: an unknown metric or field.
    """
    for name in metrics:
        definition(name)
    matching = match(a, b, across)
    groups: dict[object, list[Pair]] = collections.defaultdict(list)
    for pair in matching.pairs:
        groups[_series_key(pair)].append(pair)
    series = [_series(pairs, metrics) for pairs in groups.values()]
    count = sum(len(one.judged) for one in series)
    judged = tuple(attrs.evolve(one, verdicts=_verdicts(one, count)) for one in series)
    return Comparison(
        matching=matching, series=judged, frontiers=frontiers(a, b, across=across, at=at)
    )


def _verdicts(series: Series, count: int) -> tuple[SeriesVerdict, ...]:
    return tuple(
        judge(
            series.label,
            name,
            {pair.a.level.label: sides(pair.a, pair.b, name) for pair in series.pairs},
            higher_is_better=definition(name).higher_is_better,
            verdicts=count,
        )
        for name in series.judged
    )


def definition(metric: str) -> MetricDefinition:
    """The definition of a metric.

    Raises:
        UsageError: there is no such metric.
    """
    if metric not in BY_NAME:
        near = difflib.get_close_matches(metric, BY_NAME, n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(
            f"unknown metric {metric!r}", hint=f"{hint}`bench metrics` prints all of them"
        )
    return BY_NAME[metric]


def _series_key(pair: Pair) -> object:
    a, b = pair.a, pair.b
    return (a.deployment, b.deployment, a.workload, a.workload_options)


def _series(pairs: Sequence[Pair], metrics: Sequence[str]) -> Series:
    return Series(
        label=_label(pairs[0].a, pairs[0].b),
        pairs=tuple(sorted(pairs, key=_load)),
        judged=tuple(metrics) or _present(pairs, JUDGED),
        shown=() if metrics else _present(pairs, SHOWN),
    )


def _load(pair: Pair) -> tuple[float, ...]:
    level = pair.a.level
    return level.concurrency or 0, level.rate_per_s or 0.0, level.speed or 0.0


def _present(pairs: Sequence[Pair], choices: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """For each choice, the first metric that all pairs have, else the first that any pair has."""
    found = []
    for names in choices:
        for enough in (all, any):
            name = next((n for n in names if enough(_both(p, n) for p in pairs)), None)
            if name is not None:
                found.append(name)
                break
    return tuple(found)


def _both(pair: Pair, name: str) -> bool:
    return pair.a.mean(name) is not None and pair.b.mean(name) is not None


def _label(point: PointResult, other: PointResult) -> str:
    """A series in one line."""
    versions = dict.fromkeys(p.engine_version or "unknown" for p in (point, other))
    precision = f" {point.precision}" if point.precision else ""
    drafts = "" if point.speculation in (None, "none") else f" {point.speculation}"
    options = ", ".join(f"{k} {v}" for k, v in point.workload_options.items() if v is not None)
    return (
        f"{point.model}{precision} on {point.engine} ({' -> '.join(versions)}), "
        f"{point.chips} {point.layout}{drafts}, "
        f"{point.workload}{f': {options}' if options else ''}"
    )
