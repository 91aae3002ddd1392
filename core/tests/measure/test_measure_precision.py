"""The check of precision, and what it recommends."""

from __future__ import annotations

from typing import Any

import pytest

from tokenbench.api import CheckOutcome, Estimate, FrozenMap, Measurement
from tokenbench.load.records import ABSENT
from tokenbench.measure.certify import certify
from tokenbench.measure.checks import verdict
from tokenbench.measure.estimates import estimates
from tokenbench.measure.precision import precision
from tokenbench.measure.thresholds import CertificationThresholds

LIMITS = CertificationThresholds()
OK, FLAGGED, TOO_SHORT = CheckOutcome.OK, CheckOutcome.FLAGGED, CheckOutcome.TOO_SHORT


def _regular(turn: Any, evidence: Any, phase: Any, count: int = 20, **changes: Any) -> Any:
    """`count` requests of 1 s, one after the other, with 9 tokens each."""
    turns = [turn(k * 1.0, [k + 0.2 + i / 10 for i in range(9)]) for k in range(count)]
    return evidence(turns, phase(0.0, float(count), **changes))


def _estimates(half_width: float, count: int) -> FrozenMap[Estimate]:
    output = Estimate(mean=100.0, half_width=half_width, values=(100.0,) * count, method="repeats")
    return FrozenMap({"output_tok_s.steady": output})


@pytest.mark.parametrize(
    ("half_width", "asked", "outcome"),
    [
        (9.9, 0.10, OK),
        (10.1, 0.10, FLAGGED),
        (9.9, 0.05, FLAGGED),
        (4.9, 0.05, OK),
        (90.0, 0.10, FLAGGED),
        (129.0, 0.10, FLAGGED),
    ],
)
def test_limit_is_the_asked_precision(
    turn: Any, evidence: Any, phase: Any, half_width: float, asked: float, outcome: CheckOutcome
) -> None:
    """A wide interval is flagged whatever explains it; it is never invalid."""
    repeats = [_regular(turn, evidence, phase)] * 3
    check = precision(repeats, _estimates(half_width, 3), LIMITS, asked)
    assert check.outcome is outcome
    assert check.evidence.startswith(
        f"95 % CI of output_tok_s.steady is ±{half_width:.1f} %, by repeats (3); limit "
    )
    assert (check.flag_limit, check.invalid_limit) == (asked, None)
    # certify() passes it on.
    checks = certify(repeats, _estimates(half_width, 3), LIMITS, asked_precision=asked)
    assert checks[-1] == check


@pytest.mark.parametrize(
    ("half_width", "count", "hint"),
    [
        (15.0, 3, "--repeats 5"),
        (12.0, 5, "--repeats 9"),
        (40.0, 3, "look for other load on client and server; --repeats 20"),
    ],
)
def test_more_repeats_are_recommended(
    turn: Any, evidence: Any, phase: Any, half_width: float, count: int, hint: str
) -> None:
    """As many as narrow the interval; perfectly regular repeats that differ have another cause."""
    repeats = [_regular(turn, evidence, phase)] * count
    check = precision(repeats, _estimates(half_width, count), LIMITS, 0.10)
    assert check.evidence.endswith(hint), check.evidence


@pytest.mark.parametrize("stopped_by", ["duration", "requests"])
def test_longer_repeats_are_recommended(
    turn: Any, evidence: Any, phase: Any, stopped_by: str
) -> None:
    """One repeat with uneven output: longer, or more requests where they were counted."""
    turns, at = [], 0.0
    for k in range(40):
        length = 0.5 if k % 7 < 4 else 1.4
        turns.append(turn(at, [at + length * (i + 1) / 10 for i in range(10)]))
        at += length
    data = evidence(turns, phase(0.0, at, stopped_by=stopped_by, turns=40))
    check = precision([data], estimates([data]), LIMITS, 0.10)
    assert check.outcome is FLAGGED
    option = "--duration" if stopped_by == "duration" else "--requests"
    text, _, value = check.evidence.rpartition(f"; {option} ")
    assert "by batch means (1)" in text
    assert int(value) > (at if stopped_by == "duration" else 40)


@pytest.mark.parametrize("repeats", [1, 3, 5])
@pytest.mark.parametrize("count", [1, 2])
def test_few_requests_never_certify(
    turn: Any, evidence: Any, phase: Any, repeats: int, count: int
) -> None:
    """One or two requests of 30 s in each repeat, all alike: the median of so few is no
    measurement, however narrow the interval.
    """
    turns = [
        turn(k * 30.0, [k * 30 + 0.2 * (i + 1) for i in range(150)], exact_output=1)
        for k in range(count)
    ]
    summary = phase(
        0.0, 30.0 * count, stopped_by="requests", turns=count, cpu_share=0.03,
        loop_delay_ns=(1000, 2000, 3000, 4000), in_flight_ns=1, target_in_flight_ns=1,
    )  # fmt: skip
    data = [evidence(turns, summary)] * repeats
    checks = {c.name: c for c in certify(data, estimates(data), LIMITS)}
    if repeats * count >= LIMITS.min_requests:
        assert checks["precision"].outcome is OK
        return
    assert verdict(tuple(checks.values())) is Measurement.FLAGGED
    assert checks["precision"].outcome is TOO_SHORT
    assert f"{repeats * count} requests ended in the steady state" in checks["precision"].evidence
    assert "; --requests " in checks["precision"].evidence


def test_five_sessions_never_certify(turn: Any, evidence: Any, phase: Any) -> None:
    """A workload with five sessions of four turns: it ended early, and says so."""
    turns = [
        turn(k * 1.0, [k + 0.2 + i / 10 for i in range(9)], session=k // 4, turn=k % 4)
        for k in range(20)
    ]
    data = evidence(turns, phase(0.0, 20.0, stopped_by="sessions"))
    checks = {c.name: c for c in certify([data], estimates([data]), LIMITS)}
    assert checks["duration"].outcome is FLAGGED
    assert "no more sessions" in checks["duration"].evidence


def test_point_without_a_steady_state_is_too_short(turn: Any, evidence: Any, phase: Any) -> None:
    """Fewer requests than the concurrency; the option that is recommended fits the request time."""
    turns = [turn(0.0, [20.0, 22.0]) for _ in range(3)]
    data = evidence(turns, phase(0.0, 22.0, concurrency=256, stopped_by="duration"))
    check = precision([data], estimates([data]), LIMITS, 0.10)
    assert check.outcome is TOO_SHORT
    assert check.evidence == "too short to judge: no steady state; --duration 66"


def test_unknown_throughput_is_flagged(turn: Any, evidence: Any, phase: Any) -> None:
    """A server without usage."""
    turns = [turn(float(k), [k + 0.5, k + 1.0], n_out=ABSENT) for k in range(20)]
    data = evidence(turns, phase(0.0, 20.0))
    check = precision([data], estimates([data]), LIMITS, 0.10)
    assert check.outcome is FLAGGED
    assert check.evidence == "neither throughput nor TPOT is known"
