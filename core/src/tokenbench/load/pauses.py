"""Measures when the client did not run: its process was halted, or the machine was suspended."""

from __future__ import annotations

import time
from time import monotonic_ns

from .poller import Poller

# A suspension lasts longer; two clock reads differ by less.
_LEAST_SUSPENSION_NS = 1_000_000
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class PauseWatch:
    """The pauses of an event loop and of its machine.

    While a process is halted, the monotonic clock continues, so the poller finds that it did not
    poll (:meth:`.poller.Poller.watch_pauses`). While the machine is suspended, the monotonic clock
    of Linux stops and CLOCK_BOOTTIME continues; :meth:`check` compares the two.
    """

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self._suspended_ns = 0
        self._longest_suspension_ns = self._all_suspensions_ns = 0

    def start(self) -> None:
        """Start to measure pauses."""
        # The largest of several: an interruption between the two clocks makes one too small.
        self._suspended_ns = max(_suspended_ns() for _ in range(8))
        self._poller.watch_pauses()

    def check(self) -> None:
        """Check whether the machine was suspended; call a few times per second, and at the end."""
        self._poller.check_pause()
        suspension_ns = _suspended_ns() - self._suspended_ns
        if suspension_ns > _LEAST_SUSPENSION_NS:
            self._suspended_ns += suspension_ns
            self._longest_suspension_ns = max(self._longest_suspension_ns, suspension_ns)
            self._all_suspensions_ns += suspension_ns

    @property
    def longest_ns(self) -> int:
        """The longest pause."""
        return max(self._poller.longest_pause_ns, self._longest_suspension_ns)

    @property
    def total_ns(self) -> int:
        """The sum of all pauses."""
        return self._poller.paused_ns + self._all_suspensions_ns


def _suspended_ns() -> int:
    """How long this machine was suspended since it booted, or a little less."""
    if _BOOTTIME is None:
        return 0
    boot_ns = time.clock_gettime_ns(_BOOTTIME)
    return boot_ns - monotonic_ns()
