"""The finding `saturated`."""

from __future__ import annotations

from typing import Any

from tokenbench.api import Counters
from tokenbench.measure.saturation import saturated
from tokenbench.measure.thresholds import CertificationThresholds


def _open_loop(turn: Any, evidence: Any, phase: Any, service_s: float) -> Any:
    """10 arrivals per second for 40 s; the server handles one at a time in `service_s`."""
    turns, free = [], 0.0
    for number in range(400):
        at = number / 10
        free = max(free, at) + service_s
        turns.append(turn(at, [free]))
    return evidence(turns, phase(0.0, free, concurrency=None, rate_per_s=10.0))


def test_growing_queue_is_saturated(turn: Any, evidence: Any, phase: Any) -> None:
    """At 10 requests per second the queue grows with 0.12 s per request, not with 0.08 s."""
    limits = CertificationThresholds()
    assert saturated(_open_loop(turn, evidence, phase, 0.12), limits) is True
    assert saturated(_open_loop(turn, evidence, phase, 0.08), limits) is False


def test_unknown_if_requests_are_longer_than_half_the_window(
    turn: Any, evidence: Any, phase: Any
) -> None:
    """Until the first request ends, completions lag behind arrivals on any server."""
    turns = [turn(k / 10, [k / 10 + 30.0]) for k in range(100)]
    data = evidence(turns, phase(0.0, 45.0, concurrency=None, rate_per_s=10.0))
    assert saturated(data, CertificationThresholds()) is None


def test_closed_loop_is_judged_by_the_servers_gauge(turn: Any, evidence: Any, phase: Any) -> None:
    """Saturated if requests waited in half of the scrapes; None without a gauge."""
    data = evidence([turn(float(k), [k + 1.0]) for k in range(5)], phase(0.0, 5.0))
    queue, none = Counters(waiting=3.0), Counters(waiting=0.0)
    assert saturated(data, CertificationThresholds()) is None
    assert saturated(data, CertificationThresholds(), scrapes=[Counters()]) is None
    assert saturated(data, CertificationThresholds(), scrapes=[queue, none]) is True
    assert saturated(data, CertificationThresholds(), scrapes=[queue, none, none]) is False
