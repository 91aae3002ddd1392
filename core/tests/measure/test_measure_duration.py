"""The check of duration: repeats that ended early, were too short, or waited for prompts."""

from __future__ import annotations

from typing import Any

import pytest

from tokenbench.api import CheckOutcome, Stop
from tokenbench.measure.duration import duration
from tokenbench.measure.thresholds import CertificationThresholds

LIMITS = CertificationThresholds()
OK, FLAGGED, TOO_SHORT = CheckOutcome.OK, CheckOutcome.FLAGGED, CheckOutcome.TOO_SHORT


def _of(turn: Any, evidence: Any, phase: Any, seconds: float, **changes: Any) -> Any:
    """Sequential requests of 0.5 s for `seconds`."""
    turns = [turn(k / 2, [k / 2 + 0.1, k / 2 + 0.5]) for k in range(int(2 * seconds))]
    stop = changes.pop("stop", None)
    return evidence(turns, phase(0.0, seconds, **changes), stop=stop)


@pytest.mark.parametrize(
    ("seconds", "asked", "outcome"),
    [(10.0, 10.0, OK), (9.2, 10.0, OK), (8.8, 10.0, FLAGGED), (1.1, 10.0, FLAGGED)],
)
def test_length_of_the_steady_state(
    turn: Any, evidence: Any, phase: Any, seconds: float, asked: float, outcome: CheckOutcome
) -> None:
    """At least 90 % of the duration that was asked for."""
    data = _of(turn, evidence, phase, seconds, stopped_by="duration", stop=Stop(duration_s=asked))
    check = duration(data, LIMITS)
    assert check.outcome is outcome
    assert check.evidence.startswith(f"a steady state of {seconds:.1f} s, 10 s asked; limit 90 %")


def test_other_limit_that_ended_a_duration(turn: Any, evidence: Any, phase: Any) -> None:
    """10 s and 20 requests: the requests were sent after 1 s, and the evidence says so."""
    stop = Stop(duration_s=10.0, requests=20)
    data = _of(turn, evidence, phase, 1.0, stopped_by="requests", stop=stop)
    check = duration(data, LIMITS)
    assert check.outcome is FLAGGED
    assert "the limit of requests ended it" in check.evidence


def test_counted_requests_have_no_duration(turn: Any, evidence: Any, phase: Any) -> None:
    """Whoever asks for 20 requests gets 20 requests."""
    data = _of(turn, evidence, phase, 10.0, stopped_by="requests", stop=Stop(requests=20))
    check = duration(data, LIMITS)
    assert check.outcome is OK and check.evidence == "a steady state of 10.0 s"


@pytest.mark.parametrize(
    ("stopped_by", "reason"),
    [
        ("sessions", "the workload has no more sessions"),
        ("stalled", "no token arrived on any stream"),
        ("cancelled", "it was cancelled"),
        ("fatal", "an error ended it"),
        ("drain", "requests did not end"),
    ],
)
def test_repeat_that_ended_early(
    turn: Any, evidence: Any, phase: Any, stopped_by: str, reason: str
) -> None:
    """Flagged with its reason, even if it was long enough."""
    data = _of(turn, evidence, phase, 10.0, stopped_by=stopped_by, stop=Stop(duration_s=10.0))
    check = duration(data, LIMITS)
    assert check.outcome is FLAGGED
    assert check.evidence.endswith(f"; the repeat ended early: {reason}")


def test_open_loop_lasts_as_long_as_its_arrivals(turn: Any, evidence: Any, phase: Any) -> None:
    """The first and the last of a few random arrivals are far from the ends of 10 s."""
    turns = [turn(at, [at + 0.1, at + 0.3]) for at in (1.0, 4.0, 8.0)]
    loop = {"concurrency": None, "rate_per_s": 0.3, "stopped_by": "duration"}
    data = evidence(turns, phase(0.0, 10.0, **loop), stop=Stop(duration_s=10.0))
    assert duration(data, LIMITS).outcome is OK


@pytest.mark.parametrize(
    ("starved_s", "outcome"), [(0.0, OK), (0.09, OK), (0.11, FLAGGED), (5.0, FLAGGED)]
)
def test_waiting_for_prompts(
    turn: Any, evidence: Any, phase: Any, starved_s: float, outcome: CheckOutcome
) -> None:
    """More than 1 % of the steady state without a prepared prompt."""
    data = _of(turn, evidence, phase, 10.0, starved_ns=round(starved_s * 1e9))
    check = duration(data, LIMITS)
    assert check.outcome is outcome
    assert (f"waited {starved_s:.2f} s for prompts" in check.evidence) == (outcome is FLAGGED)


@pytest.mark.parametrize(
    ("stopped_by", "option"),
    [("duration", "--duration 67"), ("requests", "--requests 1100")],
)
def test_no_steady_state(
    turn: Any, evidence: Any, phase: Any, stopped_by: str, option: str
) -> None:
    """A concurrency of 256, requests of 22 s, a repeat of 8 s: too short, and what would do."""
    turns = [turn(0.0, [20.0, 22.1]) for _ in range(3)]
    summary = phase(0.0, 8.0, concurrency=256, stopped_by=stopped_by, ended_ns=22 * 10**9, turns=3)
    check = duration(evidence(turns, summary, stop=Stop(duration_s=8.0)), LIMITS)
    assert check.outcome is TOO_SHORT
    assert check.evidence == f"too short to judge: no steady state in 3 requests; {option}"
