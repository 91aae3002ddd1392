"""All checks together, and the verdict."""

from __future__ import annotations

from typing import Any

import pytest

from tokenbench.api import Check, CheckOutcome, FrozenMap, Measurement
from tokenbench.load.records import Status
from tokenbench.measure.certify import CHECKS, certify
from tokenbench.measure.checks import above, below, verdict, worst
from tokenbench.measure.estimates import estimates
from tokenbench.measure.thresholds import CertificationThresholds, Limits

OUTCOMES = {outcome.name: outcome for outcome in CheckOutcome}


def _check(outcome: CheckOutcome, evidence: str = "") -> Check:
    return Check(name="x", outcome=outcome, evidence=evidence)


def test_values_at_a_limit_pass() -> None:
    """Only values beyond a limit fail, from above or from below."""
    limits = Limits(flag=0.05, invalid=0.2)
    assert [above("x", v, limits, "").outcome.name for v in (0.05, 0.06, 0.2, 0.21)] == [
        "OK", "FLAGGED", "FLAGGED", "INVALID",
    ]  # fmt: skip
    limits = Limits(flag=0.98, invalid=0.9)
    assert [below("x", v, limits, "").outcome.name for v in (0.98, 0.97, 0.9, 0.89)] == [
        "OK", "FLAGGED", "FLAGGED", "INVALID",
    ]  # fmt: skip
    assert above("x", 9.0, Limits(flag=1.0), "").outcome is CheckOutcome.FLAGGED


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["OK", "NOT_ASSESSED"], Measurement.CERTIFIED),
        (["OK", "FLAGGED", "NOT_ASSESSED"], Measurement.FLAGGED),
        (["OK", "TOO_SHORT", "NOT_ASSESSED"], Measurement.FLAGGED),
        (["TOO_SHORT", "INVALID"], Measurement.INVALID),
        (["FLAGGED", "INVALID", "OK"], Measurement.INVALID),
        (["NOT_ASSESSED"], Measurement.INVALID),
        ([], Measurement.INVALID),
    ],
)
def test_verdict_is_the_worst_check(outcomes: list[str], expected: Measurement) -> None:
    """Checks that are not assessed flag nothing, those with too little data flag; if none was
    assessed, the point is invalid.
    """
    assert verdict([_check(OUTCOMES[name]) for name in outcomes]) is expected


def test_worst_repeat_counts() -> None:
    """Outcomes of repeats are not averaged."""
    found = worst([_check(CheckOutcome.OK, "a"), _check(CheckOutcome.FLAGGED, "b")])
    assert found.evidence == "b"


def test_one_bad_repeat_invalidates_a_point(turn: Any, evidence: Any, phase: Any) -> None:
    """Good repeats alone are certified. Each check appears once."""
    turns = [turn(k * 1.0, [k + 0.2 + i / 10 for i in range(9)], exact_output=1) for k in range(30)]
    summary = phase(
        0.0, 31.0, cpu_share=0.03, loop_delay_ns=(1000, 2000, 3000, 4000),
        in_flight_ns=10**9, target_in_flight_ns=10**9,
    )  # fmt: skip
    good = evidence(turns, summary)
    bad = evidence([*turns[:20], *(dict(t, status=Status.STALLED) for t in turns[20:])], summary)
    checks = certify([good] * 3, estimates([good] * 3), CertificationThresholds())
    assert len({check.name for check in checks}) == len(CHECKS) + 2
    assert verdict(checks) is Measurement.CERTIFIED
    invalid = certify([good, bad, good], estimates([good] * 3), CertificationThresholds())
    assert verdict(invalid) is Measurement.INVALID
    assert certify([], FrozenMap(), CertificationThresholds()) == ()
