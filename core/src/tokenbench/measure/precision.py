"""How precisely a point is known, and what would make it more precise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tokenbench.api import Check, CheckOutcome, Estimate, FrozenMap

from . import remedy
from .answers import ANSWER_METRICS
from .batch_means import BLOCKS, relative_half_widths
from .checks import above, percent, too_short
from .evidence import Evidence
from .student import t_quantile_975
from .thresholds import CertificationThresholds, Limits
from .window_ends import relative_deviations

_MOST_REPEATS = 12
"""More repeats are not recommended if longer ones would do."""
_MARGIN = 1.3
"""The spread of few values is itself uncertain: recommendations assume a larger one."""
_ARRIVALS_PER_BLOCK = 7
"""Of ten blocks with so many random arrivals each, one is empty in one run of a hundred."""
_LOOK = "the repeats differ by more than their own noise: look for other load on client and server"


def widest(
    repeats: Sequence[Evidence], metrics: FrozenMap[Estimate], limits: CertificationThresholds
) -> tuple[str, float | None] | None:
    """The metric with the widest interval, and its half-width over its mean.

    Of answers without tokens the metrics are requests/s and E2E latency. The width is None for a
    metric without an interval. None if no metric was measured.
    """
    found: tuple[str, float | None] | None = None
    no_tokens = any(evidence.no_tokens for evidence in repeats)
    for name in ANSWER_METRICS if no_tokens else limits.precision_metrics:
        estimate = metrics.get(name)
        if estimate is None or not estimate.mean:
            continue
        if estimate.half_width is None:
            return name, None
        width = estimate.half_width / abs(estimate.mean)
        if found is None or width > (found[1] or 0.0):
            found = name, width
    return found


def needs_repeat(
    repeats: Sequence[Evidence],
    metrics: FrozenMap[Estimate],
    limits: CertificationThresholds,
    asked: float,
) -> bool:
    """Whether another repeat may bring the widest interval to the asked half-width over the mean.

    It cannot where the ends of the steady state alone are wider: that takes longer repeats.
    """
    found = widest(repeats, metrics, limits)
    if found is None:
        return False
    metric, width = found
    if width is None:
        return True
    return width > asked > relative_deviations(repeats).get(metric, 0.0)


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
    e2e_s = max(evidence.metrics.get("e2e_s.p90") or 0.0 for evidence in repeats)
    if not any(evidence.steady.seconds for evidence in repeats):
        return too_short(name, "no steady state", remedy.longer(repeats, 3.0, at_least_s=3 * e2e_s))
    ended = sum(int(np.count_nonzero(e.steady.holds(e.records["end_ns"]))) for e in repeats)
    if ended < limits.min_requests:
        reason = f"{ended} requests ended in the steady state, {limits.min_requests} needed"
        factor = _MARGIN * limits.min_requests / max(ended, 1)
        return too_short(name, reason, remedy.longer(repeats, factor))
    found = widest(repeats, metrics, limits)
    if found is None:
        text = "neither throughput nor TPOT is known"
        return Check(name=name, outcome=CheckOutcome.FLAGGED, evidence=text)
    metric, width = found
    if width is None:
        reason = (
            f"{metric} has no 95 % interval: no request ended in some block of the steady state"
        )
        return too_short(name, reason, _fill_blocks(repeats, ended / len(repeats), e2e_s))
    text = f"95 % CI of {metric} is ±{percent(width)}, by {metrics[metric].method}"
    ends = relative_deviations(repeats).get(metric, 0.0)
    text += f" ({len(repeats)})"
    if ends > width / 2:
        text += f", ±{percent(ends)} by where the steady state begins and ends"
    return above(
        name,
        width,
        Limits(flag=asked),
        text,
        "1",
        hint=_remedy(repeats, metric, width, asked),
    )


def _fill_blocks(repeats: Sequence[Evidence], ended: float, e2e_s: float) -> str:
    """What would let requests end in each block. Random arrivals leave gaps."""
    if repeats[0].phase.concurrency is None:
        return remedy.longer(repeats, max(_MARGIN, _ARRIVALS_PER_BLOCK * BLOCKS / ended))
    return remedy.longer(repeats, _MARGIN, at_least_s=_MARGIN * BLOCKS * e2e_s)


def _remedy(repeats: Sequence[Evidence], metric: str, width: float, asked: float) -> str:
    """What would narrow the interval of `metric` from `width` to `asked`."""
    count = len(repeats)
    if (ends := relative_deviations(repeats).get(metric, 0.0)) > width / 2:
        # More repeats end at the same moment of a request. The rest must fit, too.
        rest = min(math.sqrt(max(0.0, width**2 - ends**2)), 0.8 * asked)
        return remedy.longer(repeats, max(_MARGIN, ends / math.sqrt(asked**2 - rest**2)))
    wanted = _MARGIN * width / asked
    # What the noise within the repeats contributes to the width.
    alone = [relative_half_widths([evidence]).get(metric) for evidence in repeats]
    within = max((own for own in alone if own is not None), default=0.0) / math.sqrt(count)
    own_noise = within > width / 3
    if count < 3:
        if own_noise:
            return remedy.longer(repeats, wanted**2)
        return f"{_LOOK}; --repeats 6"
    deviation = wanted * asked * math.sqrt(count) / t_quantile_975(count - 1)
    needed = _repeats_for(deviation, asked)
    if needed <= _MOST_REPEATS:
        return f"--repeats {needed}"
    if not own_noise:
        return f"{_LOOK}; --repeats {needed}"
    # The rest of what is needed beyond the most repeats that are recommended.
    spread = t_quantile_975(_MOST_REPEATS - 1) * deviation / math.sqrt(_MOST_REPEATS)
    return f"--repeats {_MOST_REPEATS} {remedy.longer(repeats, (spread / asked) ** 2)}"


def _repeats_for(deviation: float, asked: float) -> int:
    """Repeats whose 95 % interval has the asked half-width, given their standard deviation."""
    count = 3
    while t_quantile_975(count - 1) * deviation / math.sqrt(count) > asked and count < 1000:
        count += 1
    return count
