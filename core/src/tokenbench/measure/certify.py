"""All checks of a point over its repeats."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tokenbench.api import Check, Estimate, FrozenMap

from . import client_checks, device_checks, server_checks
from .checks import worst
from .duration import duration
from .evidence import Evidence
from .lengths import lengths
from .precision import precision
from .stability import stability
from .thresholds import CertificationThresholds

CHECKS: tuple[Callable[[Evidence, CertificationThresholds], Check], ...] = (
    client_checks.loop_delay,
    client_checks.dispatch_delay,
    client_checks.cpu,
    client_checks.coalesced,
    client_checks.offered_load,
    client_checks.paused,
    client_checks.foreign_load,
    duration,
    lengths,
    server_checks.failures,
    server_checks.prefix_cache,
    server_checks.cache_hits,
    server_checks.server_agreement,
    device_checks.telemetry,
    device_checks.accelerators,
)


def certify(
    repeats: Sequence[Evidence],
    metrics: FrozenMap[Estimate],
    limits: CertificationThresholds,
    *,
    asked_precision: float = 0.10,
) -> tuple[Check, ...]:
    """Each check's worst outcome over the repeats, then the checks of all repeats together.

    Args:
        asked_precision: the largest half-width of an interval over its mean.
    """
    if not repeats:
        return ()
    return (
        *(worst([check(evidence, limits) for evidence in repeats]) for check in CHECKS),
        stability(repeats, limits),
        precision(repeats, metrics, limits, asked_precision),
    )
