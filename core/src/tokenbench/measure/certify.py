"""All checks of a point, over its repeats."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from tokenbench.api import Check, CheckOutcome, Estimate, FrozenMap

from . import client_checks, server_checks
from .checks import above, not_assessed, worst
from .combine import LEAST_REPEATS, t_quantile_975
from .evidence import Evidence, chance, spread_evenly
from .thresholds import CertificationThresholds

CHECKS: tuple[Callable[[Evidence, CertificationThresholds], Check], ...] = (
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
    repeats: Sequence[Evidence], metrics: FrozenMap[Estimate], limits: CertificationThresholds
) -> tuple[Check, ...]:
    """Each check's worst outcome over the repeats, and the check of the repeats themselves."""
    if not repeats:
        return ()
    checks = [worst([check(seen, limits) for seen in repeats]) for check in CHECKS]
    return (*checks, _repeats(repeats, metrics, limits))


def _repeats(
    repeats: Sequence[Evidence], metrics: FrozenMap[Estimate], limits: CertificationThresholds
) -> Check:
    """Half-width of the 95 % interval over the mean.

    Judged is whether the server does the same each time. Where the interval is wide only because
    few requests, drawn anew for each repeat, differ as chance has it, there is too little to judge.
    """
    name, count = "repeats", len(repeats)
    if count < LEAST_REPEATS:
        return not_assessed(name, f"{count} repeats give no interval")
    allowed = limits.repeats_many if count >= limits.repeats_many_from else limits.repeats_few
    found, too_few = [], []
    for metric in limits.repeat_metrics:
        estimate = metrics.get(metric)
        if estimate is None or estimate.half_width is None or not estimate.mean:
            continue
        share = estimate.half_width / abs(estimate.mean)
        text = f"{metric} is known to {share:.1%}"
        check = above(name, share, allowed, text, "1")
        if check.outcome is not CheckOutcome.OK and share <= _by_chance(repeats, metric, limits):
            too_few.append(f"{text}, as chance has it with so few requests")
        else:
            found.append(check)
    if found:
        return max(found, key=lambda check: check.value or 0.0)
    return not_assessed(name, "; ".join(too_few) or "no metric has an interval")


def _by_chance(repeats: Sequence[Evidence], metric: str, limits: CertificationThresholds) -> float:
    """The half-width over the mean that repeats of an unchanging server stay below 99 times of 100.

    Infinite where a repeat is so short that its edges decide.
    """
    if any(_short(seen, limits) for seen in repeats):
        return math.inf
    of = _CHANCE.get(metric.partition(".")[0])
    if of is None:
        return 0.0
    variance = math.fsum(of(seen) ** 2 for seen in repeats) / len(repeats)
    degrees = len(repeats) - 1
    # The 99 % point of chi squared over its degrees of freedom (Wilson and Hilferty 1931).
    most = (1 - 2 / (9 * degrees) + 2.3263 * math.sqrt(2 / (9 * degrees))) ** 3
    return t_quantile_975(degrees) * math.sqrt(variance * most / len(repeats))


def _short(seen: Evidence, limits: CertificationThresholds) -> bool:
    requests = int(np.count_nonzero(seen.steady.holds(seen.ok["last_ns"])))
    return requests < limits.min_requests or (seen.generations() < limits.stability_min_generations)


def _output_chance(seen: Evidence) -> float:
    edges = np.array([seen.steady.start_ns, seen.steady.end_ns])
    tokens = float(spread_evenly(seen, edges)[0])
    return float(chance(seen, edges)[0]) / tokens if tokens else 0.0


def _tpot_chance(seen: Evidence) -> float:
    """Of the median of requests: those side by side share the server's load, and count as one."""
    ok = seen.ok[(seen.ok["n_out"] > 1) & (seen.ok["last_ns"] > seen.ok["first_ns"])]
    found = (ok["last_ns"] - ok["first_ns"]) / (ok["n_out"] - 1)
    if len(found) < 2:
        return 0.0
    independent = max(1.0, min(float(len(found)), seen.generations()))
    # The median lies between these order statistics 19 times of 20, whatever the distribution.
    reach = min(0.5, 0.98 / math.sqrt(independent))
    low, middle, high = np.quantile(found, (0.5 - reach, 0.5, 0.5 + reach))
    return float((high - low) / 3.92 / middle)


_CHANCE: dict[str, Callable[[Evidence], float]] = {
    "output_tok_s": _output_chance,
    "tpot_s": _tpot_chance,
}
