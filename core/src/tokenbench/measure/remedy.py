"""Command-line options with which a check would have enough data."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .arrays import NS_PER_S
from .evidence import Evidence

SHORTEST_S = 10
"""Shorter repeats are never recommended."""
_PER_CONCURRENCY = 4


def seconds_of(evidence: Evidence) -> float:
    """Length of the steady state; without one, of the phase."""
    phase = evidence.phase
    return evidence.steady.seconds or (phase.ended_ns - phase.started_ns) / NS_PER_S


def longer(repeats: Sequence[Evidence], factor: float, *, at_least_s: float = 0.0) -> str:
    """The option for repeats that are `factor` times as long, and at least `at_least_s`.

    It depends on what ended the repeats: more requests if their number did, a workload with more
    sessions if there were no more, otherwise a longer duration.
    """
    longest = max(repeats, key=seconds_of)
    seconds = seconds_of(longest)
    if longest.phase.stopped_by == "sessions":
        return "use a workload with more sessions"
    if longest.phase.stopped_by == "requests":
        if seconds:
            factor = max(factor, at_least_s / seconds)
        # Without a steady state, the requests were too few to keep the concurrency.
        least = 0 if longest.steady.seconds else _PER_CONCURRENCY * (longest.phase.concurrency or 0)
        wanted = factor * max(longest.phase.turns, len(longest.records))
        return f"--requests {_rounded(max(least, wanted))}"
    return duration(max(factor * seconds, at_least_s))


def duration(seconds: float) -> str:
    """``--duration`` of at least `seconds`, rounded up to two digits."""
    return f"--duration {_rounded(max(SHORTEST_S, seconds))}"


def _rounded(value: float) -> int:
    whole = math.ceil(value - 1e-9)
    unit = int("1" + "0" * max(0, len(str(whole)) - 2))
    return -(-whole // unit) * unit
