"""Notices when the client stood still: the process was stopped, or the machine was suspended."""

from __future__ import annotations

import time
from time import monotonic_ns

from .timers import Timers

_INTERVAL_NS = 10_000_000
# Ticks that are late by more than this are a pause. Handlers and the scheduler of a busy machine
# delay a tick by less.
_TOLERANCE_NS = 40_000_000
# A suspension lasts longer; two clock reads differ by less.
_LEAST_SUSPENSION_NS = 1_000_000
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class PauseWatch:
    """A timer that measures the gaps between its own calls.

    The monotonic clock goes on while a process is stopped, so the gap shows it. On Linux it stands
    still while the machine is suspended, but CLOCK_BOOTTIME does not, so their difference shows it.

    `longest_ns`: the longest pause, `total_ns`: the sum of all.
    """

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._last_ns = 0
        self._suspended_ns = 0
        self._running = False
        self.longest_ns = self.total_ns = 0

    def start(self) -> None:
        """Begin; a phase calls this at its start."""
        self._running = True
        # The largest of several: one that was interrupted between the clocks is too small.
        self._suspended_ns = max(_suspended_ns() for _ in range(8))
        self._last_ns = monotonic_ns()
        self._timers.call_at(self._last_ns + _INTERVAL_NS, self._tick)

    def stop(self) -> None:
        """End, with the gap since the last call."""
        if self._running:
            self._measure()
            self._running = False

    def _tick(self) -> None:
        if self._running:
            self._measure()
            self._timers.call_at(self._last_ns + _INTERVAL_NS, self._tick)

    def _measure(self) -> None:
        now_ns = monotonic_ns()
        late_ns = now_ns - self._last_ns - _INTERVAL_NS
        self._last_ns = now_ns
        suspended_ns = _suspended_ns() - self._suspended_ns
        if suspended_ns > _LEAST_SUSPENSION_NS:
            self._suspended_ns += suspended_ns
        else:
            suspended_ns = 0
        pause_ns = suspended_ns + (late_ns if late_ns > _TOLERANCE_NS else 0)
        self.longest_ns = max(self.longest_ns, pause_ns)
        self.total_ns += pause_ns


def _suspended_ns() -> int:
    """How long this machine was suspended since its start, or a little less.

    An interruption between the two clocks makes it smaller, never larger.
    """
    if _BOOTTIME is None:
        return 0
    boot_ns = time.clock_gettime_ns(_BOOTTIME)
    return boot_ns - monotonic_ns()
