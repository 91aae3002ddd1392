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

_MAX_REPEATS = 12
"""More repeats are not recommended if longer ones suffice."""
_MARGIN = 1.3
"""The spread of few values is itself uncertain, so recommendations assume a larger one."""
_ARRIVALS_PER_BLOCK = 7
"""With ten blocks of 7 random arrivals on average, a block is empty in one run of a hundred."""
_UNEXPLAINED = (
    "the repeats differ by more than their own noise: look for other load on client and server"
)


def widest(
    repeats: Sequence[Evidence], metrics: FrozenMap[Estimate], limits: CertificationThresholds
) -> tuple[str, float | None] | None:
    """The metric with the widest interval, and its half-width over its mean.

    For answers without tokens, the metrics are request throughput and E2E latency. The width is
    None for a metric without an interval. Returns None if no metric was measured.
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
    """Whether another repeat may narrow the widest interval to the asked half-width over the mean.

    It cannot if the error from the ends of the steady state is larger: only longer repeats help.
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
    """Options for repeats so long that requests end in each block, also with random arrivals."""
    if repeats[0].phase.concurrency is None:
        return remedy.longer(repeats, max(_MARGIN, _ARRIVALS_PER_BLOCK * BLOCKS / ended))
    return remedy.longer(repeats, _MARGIN, at_least_s=_MARGIN * BLOCKS * e2e_s)


def _remedy(repeats: Sequence[Evidence], metric: str, width: float, asked: float) -> str:
    """Options that would narrow the interval of `metric` from `width` to `asked`."""
    count = len(repeats)
    if (ends := relative_deviations(repeats).get(metric, 0.0)) > width / 2:
        # More repeats do not help: they have the same error. The rest of the width must fit too.
        rest = min(math.sqrt(max(0.0, width**2 - ends**2)), 0.8 * asked)
        return remedy.longer(repeats, max(_MARGIN, ends / math.sqrt(asked**2 - rest**2)))
    wanted = _MARGIN * width / asked
    # The part of the width that comes from noise within the repeats.
    alone = [relative_half_widths([evidence]).get(metric) for evidence in repeats]
    within = max((own for own in alone if own is not None), default=0.0) / math.sqrt(count)
    own_noise = within > width / 3
    if count < 3:
        if own_noise:
            return remedy.longer(repeats, wanted**2)
        return f"{_UNEXPLAINED}; --repeats 6"
    deviation = wanted * asked * math.sqrt(count) / t_quantile_975(count - 1)
    needed = _repeats_for(deviation, asked)
    if needed <= _MAX_REPEATS:
        return f"--repeats {needed}"
    if not own_noise:
        return f"{_UNEXPLAINED}; --repeats {needed}"
    # The most repeats that are recommended, and so much longer that they suffice.
    spread = t_quantile_975(_MAX_REPEATS - 1) * deviation / math.sqrt(_MAX_REPEATS)
    return f"--repeats {_MAX_REPEATS} {remedy.longer(repeats, (spread / asked) ** 2)}"


def _repeats_for(deviation: float, asked: float) -> int:
    """Repeats whose 95 % interval has the asked half-width, given their standard deviation."""
    count = 3
    while t_quantile_975(count - 1) * deviation / math.sqrt(count) > asked and count < 1000:
        count += 1
    return count
