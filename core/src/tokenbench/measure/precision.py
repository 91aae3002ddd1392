"""How precisely a point is known, and what would make it more precise."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tokenbench.api import Check, Estimate, FrozenMap

from .checks import above, not_assessed, percent, too_short
from .evidence import Evidence
from .thresholds import CertificationThresholds, Limits

_MOST_REPEATS = 12
"""More repeats are not recommended: longer ones cost less."""


def widest(
    metrics: FrozenMap[Estimate], limits: CertificationThresholds
) -> tuple[str, float | None] | None:
    """The metric with the widest interval, and its half-width over its mean.

    The width is None for a metric without an interval. None if no metric was measured.
    """
    found: tuple[str, float | None] | None = None
    for name in limits.precision_metrics:
        estimate = metrics.get(name)
        if estimate is None or not estimate.mean:
            continue
        if estimate.half_width is None:
            return name, None
        width = estimate.half_width / abs(estimate.mean)
        if found is None or width > (found[1] or 0.0):
            found = name, width
    return found


def precision(
    repeats: Sequence[Evidence],
    metrics: FrozenMap[Estimate],
    limits: CertificationThresholds,
    asked: float,
) -> Check:
    """Half-width of the 95 % interval over the mean, of throughput and median TPOT.

    Args:
        asked: the largest half-width over the mean.
    """
    name = "precision"
    seconds = sum(evidence.steady.seconds or 0.0 for evidence in repeats)
    if not seconds:
        return too_short(name, "no steady state", _longer(repeats, 2.0))
    found = widest(metrics, limits)
    if found is None:
        return not_assessed(name, "neither throughput nor TPOT was measured")
    metric, width = found
    if width is None:
        reason = f"{metric} has no 95 % CI: a block of the steady state has no request"
        return too_short(name, reason, f"{_longer(repeats, 3.0)} or --repeats 3")
    method = metrics[metric].method
    text = f"95 % CI of {metric} is ±{percent(width)}, by {method} ({len(repeats)})"
    return above(
        name, width, Limits(flag=asked), text, "1", hint=_remedy(repeats, width / asked, asked)
    )


def _remedy(repeats: Sequence[Evidence], factor: float, asked: float) -> str:
    """What narrows an interval by `factor`: it shrinks with the square root of the data."""
    needed = math.ceil(max(len(repeats), 3) * factor**2)
    if len(repeats) >= 3 and needed <= _MOST_REPEATS:
        return f"--repeats {needed}"
    if len(repeats) >= 3:
        return f"--precision {percent(asked, 0).replace(' ', '')}, {_longer(repeats, factor**2)}"
    return f"{_longer(repeats, factor**2)} or --repeats {max(3, min(needed, _MOST_REPEATS))}"


def _longer(repeats: Sequence[Evidence], factor: float) -> str:
    """``--duration`` with a length that is `factor` times the longest repeat's."""
    seconds = max((e.steady.seconds or e.phase.wall_s for e in repeats), default=0.0)
    wanted = max(10.0, factor * seconds)
    digits = 10 ** (len(str(int(wanted))) - 2)
    return f"--duration {math.ceil(wanted / digits) * digits}"
