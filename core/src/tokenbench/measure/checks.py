"""Makes checks: compares a value with its limits, and finds the worst check of several repeats."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

from tokenbench.api import Check, CheckOutcome, Measurement

from .thresholds import Limits

_ORDER = (
    CheckOutcome.NOT_ASSESSED,
    CheckOutcome.OK,
    CheckOutcome.TOO_SHORT,
    CheckOutcome.FLAGGED,
    CheckOutcome.INVALID,
)


def above(
    name: str, value: float, limits: Limits, evidence: str, unit: str = "", *, hint: str = ""
) -> Check:
    """A check that fails if the value is above a limit.

    Args:
        unit: ``s`` or ``1`` (a share); if empty, the evidence does not show the limit.
        hint: what to do about a failure; appended to its evidence.
    """
    return _check(operator.gt, name, value, limits, evidence, unit, hint)


def below(
    name: str, value: float, limits: Limits, evidence: str, unit: str = "", *, hint: str = ""
) -> Check:
    """A check that fails if the value is below a limit; arguments as for :func:`above`."""
    return _check(operator.lt, name, value, limits, evidence, unit, hint)


def _check(
    beyond: Callable[[float, float], bool],
    name: str,
    value: float,
    limits: Limits,
    evidence: str,
    unit: str,
    hint: str,
) -> Check:
    outcome, limit = CheckOutcome.OK, limits.flag
    if limits.invalid is not None and beyond(value, limits.invalid):
        outcome, limit = CheckOutcome.INVALID, limits.invalid
    elif beyond(value, limits.flag):
        outcome = CheckOutcome.FLAGGED
    if unit:
        shown = f"{limit * 1e3:.3g} ms" if unit == "s" else f"{limit * 100:.3g} %"
        evidence = f"{evidence}; limit {shown}"
    if hint and outcome is not CheckOutcome.OK:
        evidence = f"{evidence}; {hint}"
    return Check(
        name=name,
        outcome=outcome,
        evidence=evidence,
        value=value,
        flag_limit=limits.flag,
        invalid_limit=limits.invalid,
        unit=unit,
    )


def percent(share: float, digits: int = 1) -> str:
    """A share of 1 as text: ``20.6 %``."""
    return f"{share * 100:.{digits}f} %"


def not_assessed(name: str, reason: str) -> Check:
    """A check that does not apply."""
    return Check(name=name, outcome=CheckOutcome.NOT_ASSESSED, evidence=reason)


def too_short(name: str, reason: str, remedy: str) -> Check:
    """A check that applies but has too little data.

    Args:
        remedy: the option that would give enough data, such as ``--duration 40``.
    """
    return Check(
        name=name,
        outcome=CheckOutcome.TOO_SHORT,
        evidence=f"too short to judge: {reason}; {remedy}",
    )


def worst(checks: Sequence[Check]) -> Check:
    """The check with the worst outcome; of several, the first."""
    return max(checks, key=lambda check: _ORDER.index(check.outcome))


def verdict(checks: Sequence[Check]) -> Measurement:
    """The verdict on a measurement: that of its worst check; invalid if none was assessed."""
    outcomes = {check.outcome for check in checks}
    if CheckOutcome.INVALID in outcomes or outcomes <= {CheckOutcome.NOT_ASSESSED}:
        return Measurement.INVALID
    if outcomes & {CheckOutcome.FLAGGED, CheckOutcome.TOO_SHORT}:
        return Measurement.FLAGGED
    return Measurement.CERTIFIED
