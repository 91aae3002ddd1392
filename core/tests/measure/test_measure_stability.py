"""Stability of the output over thirds of the steady state."""

from __future__ import annotations

import json
from typing import Any

import attrs
import numpy as np
import pytest

from tokenbench.api import CheckOutcome
from tokenbench.measure.stability import stability
from tokenbench.measure.thresholds import CertificationThresholds

LIMITS = CertificationThresholds()
OK, FLAGGED, INVALID = CheckOutcome.OK, CheckOutcome.FLAGGED, CheckOutcome.INVALID
NOT_ASSESSED = CheckOutcome.NOT_ASSESSED


def _flow(turn: Any, rates: list[float], *, third_s: float = 10.0, e2e_s: float = 1.0) -> Any:
    """Sequential requests with the given tokens per second in each third."""
    turns, at = [], 0.0
    for rate in rates:
        for _ in range(round(third_s / e2e_s)):
            count = round(rate * e2e_s)
            turns.append(turn(at, [at + e2e_s * (i + 1) / count for i in range(count)]))
            at += e2e_s
    return [*turns, turn(at, [at + 0.1])]


@pytest.mark.parametrize(
    ("rates", "outcome"),
    [
        ([100, 100, 102], OK),
        ([100, 100, 108], FLAGGED),
        ([100, 90, 120], INVALID),
    ],
)
def test_stability(
    turn: Any, evidence: Any, phase: Any, rates: list[float], outcome: CheckOutcome
) -> None:
    """Thirds that differ by 2 %, 8 % and 29 % over 30 s. The values are valid JSON."""
    data = evidence(_flow(turn, rates), phase(0.0, 30.0))
    check = stability([data], LIMITS)
    assert check.outcome is outcome
    json.dumps([check.value, check.flag_limit, check.invalid_limit], allow_nan=False)


def test_stability_within_its_noise_passes(turn: Any, evidence: Any, phase: Any) -> None:
    """Bursts of random size: the thirds differ by more than 5 % by chance."""
    numbers = np.random.default_rng(5)
    turns = []
    for k in range(60):
        count = int(numbers.integers(40, 160))
        turns.append(turn(k * 0.5, [k * 0.5 + 0.4] * count))
    turns.append(turn(30.0, [30.1]))
    check = stability([evidence(turns, phase(0.0, 30.0))], LIMITS)
    assert check.value is not None and 0.05 < check.value < 0.20
    assert check.outcome is OK and "noise" in check.evidence


def _arriving(turn: Any, evidence: Any, phase: Any, times: Any, tokens: int = 20) -> Any:
    """An open loop with requests of 1 s."""
    turns = [
        turn(float(t), [t + (i + 1) / tokens for i in range(tokens)], session=k)
        for k, t in enumerate(times)
    ]
    return evidence(turns, phase(0.0, 62.0, concurrency=None, rate_per_s=1.0))


def test_stability_of_random_arrivals(turn: Any, evidence: Any, phase: Any) -> None:
    """Thirds of a Poisson process of one request per second differ by tens of percent by chance;
    those of regular arrivals do not.
    """
    times = np.cumsum(np.random.default_rng(3).exponential(1.0, 60))
    check = stability([_arriving(turn, evidence, phase, times)], LIMITS)
    assert check.value is not None and check.value > 0.20
    assert check.outcome is OK and "noise" in check.evidence
    check = stability([_arriving(turn, evidence, phase, np.arange(60.0))], LIMITS)
    assert check.value == pytest.approx(0.0, abs=0.03) and check.outcome is OK


def test_stability_of_a_ramp_is_not_assessed(turn: Any, evidence: Any, phase: Any) -> None:
    """The output follows a schedule that rises from 0 to 20 requests per second."""
    times = 60.0 * np.sqrt(np.arange(600) / 600)
    check = stability([_arriving(turn, evidence, phase, times, tokens=4)], LIMITS)
    assert check.outcome is NOT_ASSESSED
    assert "schedule" in check.evidence


def test_stability_ignores_the_ramp_of_an_open_loop(turn: Any, evidence: Any, phase: Any) -> None:
    """Regular arrivals of requests of 7 s: in its first seconds any server generates less."""
    turns = [
        turn(k / 4, [k / 4 + 0.07 * (i + 1) for i in range(100)], session=k) for k in range(121)
    ]
    data = evidence(turns, phase(0.0, 38.0, concurrency=None, rate_per_s=4.0))
    check = stability([data], LIMITS)
    assert check.outcome is OK
    assert check.value == pytest.approx(0.0, abs=0.02)


def test_stability_counts_tokens_not_chunks(turn: Any, evidence: Any, phase: Any) -> None:
    """Equal chunks per third, but twice the tokens in the last."""
    turns = [
        turn(float(k), [k + 0.1 * i for i in range(1, 11)], tokens=[2 if k >= 20 else 1] * 10)
        for k in range(31)
    ]
    check = stability([evidence(turns, phase(0.0, 30.0))], LIMITS)
    assert check.value == pytest.approx(0.75, abs=0.02)  # (20 - 10) / 13.3
    assert check.outcome is INVALID


@pytest.mark.parametrize(
    ("third_s", "e2e_s", "stopped_by", "remedy"),
    [
        (5.0, 1.0, "duration", "--duration 21"),
        (5.0, 1.0, "requests", "--requests 22"),
        (8.0, 8.0, "duration", "--duration 26"),
        (5.0, 1.0, "sessions", "use a workload with more sessions"),
    ],
)
def test_stability_of_short_points(
    turn: Any, evidence: Any, phase: Any,
    third_s: float, e2e_s: float, stopped_by: str, remedy: str,
) -> None:  # fmt: skip
    """15 s are too short, and so are 23 s of requests of 8 s; the remedy fits what ended it."""
    turns = _flow(turn, [100, 50, 200], third_s=third_s, e2e_s=e2e_s)[:-1]
    end = turns[-1]["last"] - 0.2
    check = stability([evidence(turns, phase(0.0, end, stopped_by=stopped_by))], LIMITS)
    assert check.outcome is CheckOutcome.TOO_SHORT
    assert f"generations of requests, 20 s and 3 needed; {remedy}" in check.evidence


@pytest.mark.parametrize(
    ("rates", "outcome"),
    [
        ([100, 100, 100], OK),
        ([100, 100, 108], FLAGGED),
        ([100, 80, 120], INVALID),
    ],
)
def test_thirds_of_short_repeats_are_added_up(
    turn: Any, evidence: Any, phase: Any, rates: list[float], outcome: CheckOutcome
) -> None:
    """Three repeats of 9 s, each of which changes in the same way."""
    one = evidence(_flow(turn, rates, third_s=3.0, e2e_s=0.3), phase(0.0, 9.0))
    check = stability([one] * 3, LIMITS)
    assert check.outcome is outcome
    assert "3 repeats together" in check.evidence


def test_differences_between_repeats_are_no_instability(
    turn: Any, evidence: Any, phase: Any
) -> None:
    """Three steady repeats of 9 s at different rates: the check of precision judges them."""
    repeats = [
        evidence(_flow(turn, [rate] * 3, third_s=3.0, e2e_s=0.3), phase(0.0, 9.0))
        for rate in (100, 130, 70)
    ]
    assert stability(repeats, LIMITS).outcome is OK


def test_a_long_repeat_is_judged_beside_short_ones(turn: Any, evidence: Any, phase: Any) -> None:
    """Steady short repeats do not dilute an unsteady long one."""
    short = evidence(_flow(turn, [100] * 3, third_s=3.0, e2e_s=0.3), phase(0.0, 9.0))
    long = evidence(_flow(turn, [100, 90, 120]), phase(0.0, 30.0))
    assert stability([short, short, long], LIMITS).outcome is INVALID


def test_frozen_for_good(turn: Any, evidence: Any, phase: Any) -> None:
    """A steady state without any token is invalid."""
    turns = [turn(float(k), [90.0 + k]) for k in range(4)]
    data = evidence(turns, phase(0.0, 95.0, concurrency=4, dispatch_ended_ns=60 * 10**9))
    data = attrs.evolve(data, metrics={**data.metrics, "e2e_s.p50": 1.0})
    assert stability([data], LIMITS).outcome is INVALID
