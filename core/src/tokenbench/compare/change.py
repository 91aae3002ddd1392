"""The change of a metric from one point to another.

Repeats are compared on a logarithmic scale: a change is the ratio of geometric means, minus 1. The
interval is Welch's, for the difference of the mean logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from tokenbench.api import Estimate, PointResult
from tokenbench.measure.estimates import MIN_REPEATS
from tokenbench.measure.student import t_quantile

CONFIDENCE = 0.95
POWER = 0.9
"""A change of the detectable size is found with this probability."""
_NORMAL_975 = 1.959964


@attrs.frozen(kw_only=True)
class Change:
    """A metric of two points. `relative`: B / A - 1, None if either is missing or not positive.

    `low`, `high`: the 95 % interval of `relative`; None below 3 repeats on a side. `detectable`:
    the size of a change that these repeats would show in 90 % of cases; None without an interval.
    """

    metric: str
    a: float | None
    b: float | None
    relative: float | None = None
    low: float | None = None
    high: float | None = None
    detectable: float | None = None


@attrs.frozen(kw_only=True)
class Sides:
    """The logarithms of a metric's repeats at two points.

    `extra`: variance of the difference beyond that of the repeats, where an estimate's interval is
    wider than its repeats give (at the ends of the steady state).
    """

    a: tuple[float, ...]
    b: tuple[float, ...]
    extra: float

    @property
    def difference(self) -> float:
        """Mean of B minus mean of A."""
        return math.fsum(self.b) / len(self.b) - math.fsum(self.a) / len(self.a)

    @property
    def repeated(self) -> bool:
        """Whether both sides have enough repeats for an interval."""
        return min(len(self.a), len(self.b)) >= MIN_REPEATS

    @property
    def squares(self) -> float:
        """Sum of squared deviations from the mean of each side."""
        return _squares(self.a) + _squares(self.b)

    @property
    def degrees(self) -> int:
        """Degrees of freedom of `squares`."""
        return len(self.a) + len(self.b) - 2

    @property
    def weight(self) -> float:
        """Variance of `difference` in units of one repeat's variance."""
        return 1 / len(self.a) + 1 / len(self.b)


def sides(a: PointResult, b: PointResult, metric: str) -> Sides | None:
    """The repeats of a metric; None if a side has none, or values that are not positive."""
    first, second = a.metrics.get(metric), b.metrics.get(metric)
    if first is None or second is None:
        return None
    logs = _logs(first), _logs(second)
    if not logs[0] or not logs[1]:
        return None
    return Sides(a=logs[0], b=logs[1], extra=_extra(first) + _extra(second))


def change(a: PointResult, b: PointResult, metric: str) -> Change:
    """The change of one metric."""
    means = [a.mean(metric), b.mean(metric)]
    plain = Change(metric=metric, a=means[0], b=means[1])
    found = sides(a, b, metric)
    if found is None:
        return plain
    plain = attrs.evolve(plain, relative=math.expm1(found.difference))
    if not found.repeated:
        return plain
    variance, degrees = _welch(found)
    error = math.sqrt(variance)
    t = t_quantile((1 + CONFIDENCE) / 2, degrees)
    half = t * error
    return attrs.evolve(
        plain,
        low=math.expm1(found.difference - half),
        high=math.expm1(found.difference + half),
        detectable=math.expm1((t + t_quantile(POWER, degrees)) * error),
    )


def _welch(found: Sides) -> tuple[float, int]:
    """Variance of the difference, and its degrees of freedom by Welch and Satterthwaite."""
    parts = [
        (_squares(side) / (len(side) - 1) / len(side), len(side) - 1) for side in (found.a, found.b)
    ]
    return math.fsum(part for part, _ in parts) + found.extra, satterthwaite(parts)


def satterthwaite(parts: Sequence[tuple[float, int]]) -> int:
    """Degrees of freedom of a sum of variances that each have their own, rounded down.

    Source: F. E. Satterthwaite, An approximate distribution of estimates of variance components,
    Biometrics Bulletin 2 (1946) 110.
    """
    total = math.fsum(variance for variance, _ in parts)
    below = math.fsum(variance**2 / degrees for variance, degrees in parts)
    if below <= 0:
        return sum(degrees for _, degrees in parts)
    return max(1, math.floor(total**2 / below + 1e-9))


def _logs(estimate: Estimate) -> tuple[float, ...]:
    """Logarithms of the values; empty if one is not positive."""
    values = [value for value in estimate.values if value is not None]
    return tuple(map(math.log, values)) if all(value > 0 for value in values) else ()


def _extra(estimate: Estimate) -> float:
    """The variance by which an estimate's interval is wider than that of its repeats alone."""
    values = [value for value in estimate.values if value is not None]
    if estimate.half_width is None or estimate.method != "repeats" or not estimate.mean:
        return 0.0
    error = math.sqrt(_squares(values) / (len(values) - 1) / len(values))
    own = t_quantile((1 + CONFIDENCE) / 2, len(values) - 1) * error
    more = max(0.0, estimate.half_width**2 - own**2)
    more = 0.0 if more < 1e-9 * estimate.half_width**2 else more
    return more / (_NORMAL_975 * estimate.mean) ** 2


def _squares(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values)
