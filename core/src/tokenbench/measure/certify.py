"""All checks of a point over its repeats."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from tokenbench.api import Check, Estimate, FrozenMap

from . import client_checks, server_checks
from .checks import above, not_assessed, percent, worst
from .estimates import MIN_REPEATS, t_quantile_975
from .evidence import Evidence, evenly_spread_tokens, expected_noise
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
    checks = [worst([check(evidence, limits) for evidence in repeats]) for check in CHECKS]
    return (*checks, _repeats(repeats, metrics, limits))


def _repeats(
    repeats: Sequence[Evidence], metrics: FrozenMap[Estimate], limits: CertificationThresholds
) -> Check:
    """Half-width of the 95 % interval over the mean.

    The check judges whether the server performs the same in each repeat. An interval that is wide
    only because few requests were sampled is not assessed.
    """
    name, count = "repeats", len(repeats)
    if count < MIN_REPEATS:
        return not_assessed(name, f"an interval needs {MIN_REPEATS} repeats, got {count}")
    allowed = limits.repeats_many if count >= limits.repeats_many_from else limits.repeats_few
    judged, too_few = [], []
    for metric in limits.repeat_metrics:
        estimate = metrics.get(metric)
        if estimate is None or estimate.half_width is None or not estimate.mean:
            continue
        width = estimate.half_width / abs(estimate.mean)
        text = f"{metric} is ±{percent(width)}"
        if allowed.flag < width <= _expected_half_width(repeats, metric, limits):
            too_few.append(text)
        else:
            hint = "raise --duration or --repeats"
            judged.append(above(name, width, allowed, f"95 % CI of {text}", "1", hint=hint))
    if judged:
        return max(judged, key=lambda check: check.value or 0.0)
    if too_few:
        return not_assessed(name, f"95 % CI of {', of '.join(too_few)}: too few requests")
    return not_assessed(name, "no metric has an interval")


def _expected_half_width(
    repeats: Sequence[Evidence], metric: str, limits: CertificationThresholds
) -> float:
    """Half-width over the mean that repeats of an unchanging server exceed in 1 % of cases.

    Infinite if a repeat is so short that its edges dominate.
    """
    if any(_too_short(evidence, limits) for evidence in repeats):
        return math.inf
    noise = _NOISE.get(metric.partition(".")[0])
    if noise is None:
        return 0.0
    variance = math.fsum(noise(evidence) ** 2 for evidence in repeats) / len(repeats)
    degrees = len(repeats) - 1
    # 99 % point of chi squared over its degrees of freedom (Wilson and Hilferty 1931).
    factor = (1 - 2 / (9 * degrees) + 2.3263 * math.sqrt(2 / (9 * degrees))) ** 3
    return t_quantile_975(degrees) * math.sqrt(variance * factor / len(repeats))


def _too_short(evidence: Evidence, limits: CertificationThresholds) -> bool:
    requests = int(np.count_nonzero(evidence.steady.holds(evidence.ok["last_ns"])))
    return (
        requests < limits.min_requests or evidence.generations() < limits.stability_min_generations
    )


def _output_noise(evidence: Evidence) -> float:
    """Expected standard deviation of the output throughput, over its mean."""
    edges = np.array([evidence.steady.start_ns, evidence.steady.end_ns])
    tokens = float(evenly_spread_tokens(evidence, edges)[0])
    return float(expected_noise(evidence, edges)[0]) / tokens if tokens else 0.0


def _tpot_noise(evidence: Evidence) -> float:
    """Expected standard deviation of the median TPOT, over the median.

    Concurrent requests share the server's load, so each generation counts as one sample.
    """
    ok = evidence.ok[
        (evidence.ok["n_out"] > 1) & (evidence.ok["last_ns"] > evidence.ok["first_ns"])
    ]
    tpot = (ok["last_ns"] - ok["first_ns"]) / (ok["n_out"] - 1)
    if len(tpot) < 2:
        return 0.0
    independent = max(1.0, min(float(len(tpot)), evidence.generations()))
    # Distribution-free 95 % interval of the median: these order statistics enclose it.
    reach = min(0.5, 0.98 / math.sqrt(independent))
    low, middle, high = np.quantile(tpot, (0.5 - reach, 0.5, 0.5 + reach))
    return float((high - low) / 3.92 / middle)


_NOISE: dict[str, Callable[[Evidence], float]] = {
    "output_tok_s": _output_noise,
    "tpot_s": _tpot_noise,
}
