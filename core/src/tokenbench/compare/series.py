"""The verdict of a series: one metric over all matched load levels.

The repeats' variance is pooled over the levels, with degrees of freedom by Satterthwaite, so that
levels may differ in noise. Two questions are asked, each with half of the
allowed probability of a false alarm: whether the mean change over the levels differs from 0, and
whether that of any single level does (Bonferroni over the levels). The allowed probability of one
verdict is 5 % divided by the number of verdicts of the comparison.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence

import attrs

from tokenbench.measure.estimates import MIN_REPEATS
from tokenbench.measure.student import t_quantile

from .change import CONFIDENCE, POWER, Sides, satterthwaite

MIN_LEVELS = 5
_NOISIER = 2.0
"""A level whose variance is more than this many times that of the others is judged by its own
variance."""
_ROUNDING = 1e-12


class Verdict(enum.StrEnum):
    """Whether a metric of a series changed."""

    BETTER = "better"
    WORSE = "worse"
    CHANGED = "changed"
    NO_CHANGE = "no change"
    TOO_LITTLE_DATA = "too little data"


@attrs.frozen(kw_only=True)
class LevelChange:
    """A load level whose own change differs from 0, beyond the noise of all levels."""

    level: str
    relative: float


@attrs.frozen(kw_only=True)
class SeriesVerdict:
    """The verdict on one metric of one series.

    `relative`: the mean change over the levels (geometric), with the interval `low` to `high`; all
    intervals of a comparison hold together with 95 %. `detectable`: the size of a mean change that
    would be found in 90 % of cases. `levels`: the load levels used. `single`: levels that differ
    individually. `reason`: why there is too little data.
    """

    series: str
    metric: str
    verdict: Verdict
    levels: tuple[str, ...]
    relative: float | None = None
    low: float | None = None
    high: float | None = None
    detectable: float | None = None
    single: tuple[LevelChange, ...] = ()
    reason: str | None = None

    @property
    def mean_differs(self) -> bool:
        """Whether the interval of the mean change excludes 0."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def judge(
    series: str,
    metric: str,
    levels: Mapping[str, Sides | None],
    *,
    higher_is_better: bool | None,
    verdicts: int,
) -> SeriesVerdict:
    """The verdict on a metric.

    Args:
        levels: label of each matched load level -> the repeats there, None if not measured.
        verdicts: how many verdicts the comparison has.
    """
    used = {label: one for label, one in levels.items() if one is not None and one.repeated}
    if len(used) < MIN_LEVELS:
        return SeriesVerdict(
            series=series,
            metric=metric,
            verdict=Verdict.TOO_LITTLE_DATA,
            levels=tuple(used),
            relative=_mean_change([one for one in levels.values() if one is not None]),
            reason=_reason(levels, used),
        )
    allowed = (1 - CONFIDENCE) / verdicts
    count = len(used)
    mean = math.fsum(one.difference for one in used.values()) / count
    variances = [(one.squares / one.degrees * one.weight, one.degrees) for one in used.values()]
    spread = math.fsum(variance for variance, _ in variances)
    degrees = satterthwaite(variances)
    error = math.sqrt(spread + math.fsum(one.extra for one in used.values())) / count
    t = t_quantile(1 - allowed / 4, degrees)
    half = t * error
    single = _single(used, 1 - allowed / 4 / count)
    half = max(half, _ROUNDING)
    found = [mean] if abs(mean) > half else []
    found += [math.log1p(one.relative) for one in single]
    return SeriesVerdict(
        series=series,
        metric=metric,
        verdict=_verdict(found, higher_is_better),
        levels=tuple(used),
        relative=math.expm1(mean),
        low=math.expm1(mean - half),
        high=math.expm1(mean + half),
        detectable=math.expm1((t + t_quantile(POWER, degrees)) * error),
        single=single,
    )


def _single(used: Mapping[str, Sides], probability: float) -> tuple[LevelChange, ...]:
    """Levels that differ from 0, by the pooled variance. A level that is much noisier than the
    others counts with its own variance and degrees of freedom.
    """
    squares = math.fsum(one.squares for one in used.values())
    degrees = sum(one.degrees for one in used.values())
    found = []
    for label, one in used.items():
        own, of = one.squares / one.degrees, degrees
        if own > _NOISIER * (squares - one.squares) / (degrees - one.degrees):
            of = one.degrees
        variance = max(squares / degrees, own)
        error = math.sqrt(variance * one.weight + one.extra)
        if abs(one.difference) > max(t_quantile(probability, of) * error, _ROUNDING):
            found.append(LevelChange(level=label, relative=math.expm1(one.difference)))
    return tuple(found)


def _verdict(found: Sequence[float], higher_is_better: bool | None) -> Verdict:
    """The verdict on significant changes: one for the worse outweighs any for the better."""
    if not found:
        return Verdict.NO_CHANGE
    if higher_is_better is None:
        return Verdict.CHANGED
    worse = [value for value in found if (value < 0) == higher_is_better]
    return Verdict.WORSE if worse else Verdict.BETTER


def _mean_change(known: Sequence[Sides]) -> float | None:
    if not known:
        return None
    return math.expm1(math.fsum(one.difference for one in known) / len(known))


def _reason(levels: Mapping[str, Sides | None], used: Mapping[str, Sides]) -> str:
    missing = [label for label, one in levels.items() if one is None]
    few = [label for label, one in levels.items() if one is not None and label not in used]
    text = f"{len(used)} usable load levels, {MIN_LEVELS} are needed"
    if few:
        text += f"; fewer than {MIN_REPEATS} repeats at {', '.join(few)}"
    if missing:
        text += f"; not measured on both sides at {', '.join(missing)}"
    return text
