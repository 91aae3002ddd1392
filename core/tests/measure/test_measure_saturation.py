"""The finding `saturated`."""

from __future__ import annotations

from typing import Any

from tokenbench.api import Counters
from tokenbench.measure.saturation import saturated
from tokenbench.measure.thresholds import CertificationThresholds


def _open_loop(turn: Any, evidence: Any, phase: Any, service_s: float) -> Any:
    """40 s of 10 arrivals a second to one server that needs `service_s` for each."""
    turns, free = [], 0.0
    for number in range(400):
        at = number / 10
        free = max(free, at) + service_s
        turns.append(turn(at, [free]))
    return evidence(turns, phase(0.0, free, concurrency=None, rate_per_s=10.0))


def test_open_loop_that_falls_behind_is_saturated(turn: Any, evidence: Any, phase: Any) -> None:
    """0.12 s a request at 10 requests a second: the queue grows. 0.08 s: it does not."""
    limits = CertificationThresholds()
    assert saturated(_open_loop(turn, evidence, phase, 0.12), limits) is True
    assert saturated(_open_loop(turn, evidence, phase, 0.08), limits) is False


def test_requests_longer_than_the_window_tell_nothing(turn: Any, evidence: Any, phase: Any) -> None:
    """Completions lag behind arrivals in every server, by the length of a request."""
    turns = [turn(k / 10, [k / 10 + 30.0]) for k in range(100)]
    seen = evidence(turns, phase(0.0, 45.0, concurrency=None, rate_per_s=10.0))
    assert saturated(seen, CertificationThresholds()) is None


def test_closed_loop_is_judged_by_the_servers_gauge(turn: Any, evidence: Any, phase: Any) -> None:
    """Requests that waited in half of the scrapes; without a gauge nobody knows."""
    seen = evidence([turn(float(k), [k + 1.0]) for k in range(5)], phase(0.0, 5.0))
    queue, none = Counters(waiting=3.0), Counters(waiting=0.0)
    assert saturated(seen, CertificationThresholds()) is None
    assert saturated(seen, CertificationThresholds(), scrapes=[Counters()]) is None
    assert saturated(seen, CertificationThresholds(), scrapes=[queue, none]) is True
    assert saturated(seen, CertificationThresholds(), scrapes=[queue, none, none]) is False
