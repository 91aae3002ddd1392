"""Making checks: the comparison of a value with its limits, and the worst of several repeats."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Check, CheckOutcome, Measurement

from .thresholds import Limits

_ORDER = (
    CheckOutcome.NOT_ASSESSED,
    CheckOutcome.OK,
    CheckOutcome.FLAGGED,
    CheckOutcome.INVALID,
)


def above(name: str, value: float, limits: Limits, evidence: str, unit: str = "") -> Check:
    """A check that a value above its limits fails."""
    outcome = CheckOutcome.OK
    if limits.invalid is not None and value > limits.invalid:
        outcome = CheckOutcome.INVALID
    elif value > limits.flag:
        outcome = CheckOutcome.FLAGGED
    return _check(name, outcome, value, limits, evidence, unit)


def below(name: str, value: float, limits: Limits, evidence: str, unit: str = "") -> Check:
    """A check that a value below its limits fails."""
    outcome = CheckOutcome.OK
    if limits.invalid is not None and value < limits.invalid:
        outcome = CheckOutcome.INVALID
    elif value < limits.flag:
        outcome = CheckOutcome.FLAGGED
    return _check(name, outcome, value, limits, evidence, unit)


def _check(
    name: str, outcome: CheckOutcome, value: float, limits: Limits, evidence: str, unit: str
) -> Check:
    return Check(
        name=name,
        outcome=outcome,
        evidence=evidence,
        value=value,
        flag_limit=limits.flag,
        invalid_limit=limits.invalid,
        unit=unit,
    )


def not_assessed(name: str, why: str) -> Check:
    """A check that does not apply, or has too little to judge."""
    return Check(name=name, outcome=CheckOutcome.NOT_ASSESSED, evidence=why)


def worst(checks: Sequence[Check]) -> Check:
    """The worst of one check's outcomes over repeats; the first of equals."""
    return max(checks, key=lambda check: _ORDER.index(check.outcome))


def verdict(checks: Sequence[Check]) -> Measurement:
    """The measurement's verdict: its worst check. What no check could judge is not certified."""
    outcomes = {check.outcome for check in checks}
    if CheckOutcome.INVALID in outcomes or outcomes <= {CheckOutcome.NOT_ASSESSED}:
        return Measurement.INVALID
    if CheckOutcome.FLAGGED in outcomes:
        return Measurement.FLAGGED
    return Measurement.CERTIFIED
