"""Whether a repeat lasted as long as it should, and always had prompts to send."""

from __future__ import annotations

import attrs

from tokenbench.api import Check, CheckOutcome

from . import remedy
from .arrays import NS_PER_S
from .checks import above, below, percent, too_short, worst
from .evidence import Evidence
from .thresholds import CertificationThresholds

_EARLY = {
    "sessions": "the workload has no more sessions",
    "stalled": "no token arrived on any stream",
    "cancelled": "it was cancelled",
    "fatal": "an error ended it",
    "drain": "requests did not end",
}
_GENERATIONS = 3
"""Generations of requests that a steady state should hold."""


def duration(evidence: Evidence, limits: CertificationThresholds) -> Check:
    """Length of the steady state against the requested one, and why the repeat ended."""
    name, phase = "duration", evidence.phase
    seconds = evidence.steady.seconds
    length = "no steady state" if seconds is None else f"a steady state of {seconds:.1f} s"
    reason = _EARLY.get(phase.stopped_by)
    if reason is not None:
        text = f"{length}; the repeat ended early: {reason}"
        return Check(name=name, outcome=CheckOutcome.FLAGGED, evidence=text)
    if seconds is None:
        e2e_s = evidence.metrics.get("e2e_s.p90") or 0.0
        longer = remedy.longer([evidence], _GENERATIONS, at_least_s=_GENERATIONS * e2e_s)
        return too_short(name, f"{length} in {len(evidence.records)} requests", longer)
    return worst([_asked(evidence, limits, seconds, length), _starved(evidence, limits, seconds)])


def _asked(
    evidence: Evidence, limits: CertificationThresholds, seconds: float, length: str
) -> Check:
    """The steady state (in an open loop, the time of dispatching) against ``--duration``."""
    name, phase, stop = "duration", evidence.phase, evidence.stop
    if stop is None or stop.duration_s is None:
        return Check(name=name, outcome=CheckOutcome.OK, evidence=length)
    if phase.concurrency is None:
        # The first and the last arrival are at random distances from the ends of the phase.
        seconds = max(seconds, (phase.dispatch_ended_ns - phase.started_ns) / NS_PER_S)
    text = f"{length}, {stop.duration_s:g} s asked"
    hint = "raise --duration"
    if phase.stopped_by == "requests":
        hint = "the limit of requests ended it: remove or raise it"
    return below(name, seconds / stop.duration_s, limits.steady_share, text, "1", hint=hint)


def _starved(evidence: Evidence, limits: CertificationThresholds, seconds: float) -> Check:
    """Time for which the client had no prepared prompt to send."""
    name, starved_s = "duration", evidence.phase.starved_ns / NS_PER_S
    share = starved_s / seconds
    text = f"the client waited {starved_s:.2f} s for prompts ({percent(share)})"
    hint = "lower the load, or use a workload whose prompts are prepared faster"
    check = above(name, share, limits.starved_share, text, "1", hint=hint)
    # If the check passes, the length of the steady state is the more useful evidence.
    return check if check.outcome is not CheckOutcome.OK else attrs.evolve(check, evidence="")
