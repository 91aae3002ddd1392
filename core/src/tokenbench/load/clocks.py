"""Wall clock and monotonic clock of the measuring host."""

from __future__ import annotations

from time import monotonic_ns, time_ns

from .records import ClockPair

_TRIES = 16


def read_clocks() -> ClockPair:
    """Read both clocks at the same instant.

    Returns the fastest of several readings, because the process may be interrupted between calls.
    """
    best, least = ClockPair(wall_ns=time_ns(), monotonic_ns=monotonic_ns()), 1 << 62
    for _ in range(_TRIES):
        before_ns, wall_ns, after_ns = monotonic_ns(), time_ns(), monotonic_ns()
        if after_ns - before_ns < least:
            least = after_ns - before_ns
            best = ClockPair(wall_ns=wall_ns, monotonic_ns=(before_ns + after_ns) // 2)
    return best
