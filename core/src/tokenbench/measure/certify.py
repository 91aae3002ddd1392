"""All checks of a point, over its repeats."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tokenbench.api import Check, Estimate, FrozenMap

from . import client_checks, server_checks
from .combine import LEAST_REPEATS
from .evidence import Evidence
from .outcome import above, not_assessed, worst
from .thresholds import Thresholds

CHECKS: tuple[Callable[[Evidence, Thresholds], Check], ...] = (
    client_checks.loop_delay,
    client_checks.dispatch_delay,
    client_checks.cpu,
    client_checks.coalesced,
    client_checks.offered_load,
    server_checks.lengths,
    server_checks.failures,
    server_checks.prefix_cache,
    server_checks.server_agreement,
    server_checks.stability,
    server_checks.accelerators,
)


def certify(
    repeats: Sequence[Evidence], metrics: FrozenMap[Estimate], limits: Thresholds
) -> tuple[Check, ...]:
    """Each check's worst outcome over the repeats, and the check of the repeats themselves."""
    if not repeats:
        return ()
    checks = [worst([check(seen, limits) for seen in repeats]) for check in CHECKS]
    return (*checks, _repeats(metrics, len(repeats), limits))


def _repeats(metrics: FrozenMap[Estimate], count: int, limits: Thresholds) -> Check:
    """Half-width of the 95 % interval over the mean."""
    name = "repeats"
    if count < LEAST_REPEATS:
        return not_assessed(name, f"{count} repeats give no interval")
    allowed = limits.repeats_many if count >= limits.repeats_many_from else limits.repeats_few
    found = []
    for metric in limits.repeat_metrics:
        estimate = metrics.get(metric)
        if estimate is not None and estimate.half_width is not None and estimate.mean:
            share = estimate.half_width / abs(estimate.mean)
            found.append(above(name, share, allowed, f"{metric} is known to {share:.1%}", "1"))
    if not found:
        return not_assessed(name, "no metric has an interval")
    return max(found, key=lambda check: check.value or 0.0)
