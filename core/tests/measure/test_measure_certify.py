"""All checks together, the check of repeats, and the verdict."""

from __future__ import annotations

from typing import Any

import pytest

from tokenbench.api import Check, CheckOutcome, Estimate, FrozenMap, Measurement
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
        (["FLAGGED", "INVALID", "OK"], Measurement.INVALID),
        (["NOT_ASSESSED"], Measurement.INVALID),
        ([], Measurement.INVALID),
    ],
)
def test_verdict_is_the_worst_check(outcomes: list[str], expected: Measurement) -> None:
    """Checks that are not assessed flag nothing; if none was assessed, the point is invalid."""
    assert verdict([_check(OUTCOMES[name]) for name in outcomes]) is expected


def test_worst_repeat_counts() -> None:
    """Outcomes of repeats are not averaged."""
    found = worst([_check(CheckOutcome.OK, "a"), _check(CheckOutcome.FLAGGED, "b")])
    assert found.evidence == "b"


def _estimates(half_width: float, count: int) -> FrozenMap[Estimate]:
    values = (100.0,) * count
    return FrozenMap(
        {"output_tok_s.steady": Estimate(mean=100.0, half_width=half_width, values=values)}
    )


@pytest.mark.parametrize(
    ("count", "half_width", "outcome"),
    [
        (2, 50.0, CheckOutcome.NOT_ASSESSED),
        (3, 9.0, CheckOutcome.OK),
        (4, 11.0, CheckOutcome.FLAGGED),
        (5, 9.0, CheckOutcome.FLAGGED),
        (5, 4.0, CheckOutcome.OK),
    ],
)
def test_repeats(
    turn: Any, evidence: Any, phase: Any, count: int, half_width: float, outcome: CheckOutcome
) -> None:
    """Limit of half-width over mean: 10 % with 3 or 4 repeats, 5 % from 5 on; never invalid."""
    turns = [turn(float(k), [k + 0.5, k + 1.0]) for k in range(20)]
    repeats = [evidence(turns, phase(0.0, 20.0))] * count
    checks = {
        c.name: c
        for c in certify(repeats, _estimates(half_width, count), CertificationThresholds())
    }
    assert checks["repeats"].outcome is outcome


@pytest.mark.parametrize(
    ("turns", "lengths"),
    [(6, (10, 10)), (40, (2, 18))],
    ids=["fewer than 10 requests", "answers of very different lengths"],
)
def test_repeats_with_too_few_requests_are_not_assessed(
    turn: Any, evidence: Any, phase: Any, turns: int, lengths: tuple[int, int]
) -> None:
    """Few sampled requests give a wide interval on any server; an interval wider than they explain
    is flagged.
    """
    done = [
        turn(k, [k + 0.1, *([k + 1.0] * lengths[k % 3 == 0])]) for k in map(float, range(turns))
    ]
    repeats = [evidence(done, phase(0.0, float(turns)))] * 3
    checks = {c.name: c for c in certify(repeats, _estimates(15.0, 3), CertificationThresholds())}
    assert checks["repeats"].outcome is CheckOutcome.NOT_ASSESSED
    evidence_text = "95 % CI of output_tok_s.steady is ±15.0 %: too few requests"
    assert checks["repeats"].evidence == evidence_text
    checks = {c.name: c for c in certify(repeats, _estimates(95.0, 3), CertificationThresholds())}
    expected = CheckOutcome.NOT_ASSESSED if turns < 10 else CheckOutcome.FLAGGED
    assert checks["repeats"].outcome is expected


def test_one_bad_repeat_invalidates_a_point(turn: Any, evidence: Any, phase: Any) -> None:
    """Good repeats alone are certified. Each check appears once."""
    turns = [turn(k * 1.0, [k + 0.2 + i / 10 for i in range(9)], exact_output=1) for k in range(30)]
    summary = phase(
        0.0, 31.0, cpu_s=1.0, loop_delay_ns=(1000, 2000, 3000, 4000),
        in_flight_ns=10**9, target_in_flight_ns=10**9,
    )  # fmt: skip
    good = evidence(turns, summary)
    bad = evidence([*turns[:20], *(dict(t, status=Status.STALLED) for t in turns[20:])], summary)
    checks = certify([good] * 3, estimates([good.metrics] * 3), CertificationThresholds())
    assert len({check.name for check in checks}) == len(CHECKS) + 1
    assert verdict(checks) is Measurement.CERTIFIED
    invalid = certify([good, bad, good], estimates([good.metrics] * 3), CertificationThresholds())
    assert verdict(invalid) is Measurement.INVALID
    assert certify([], FrozenMap(), CertificationThresholds()) == ()
