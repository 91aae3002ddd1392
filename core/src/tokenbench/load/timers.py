"""Calls functions at exact times.

The timeout of a poll is rounded to milliseconds, which would be visible as dispatch delay. On Linux
the event loop polls a timer descriptor (timerfd_create(2)) with nanosecond resolution. Other
systems use the timeout, and certification reports the dispatch delay.
"""

from __future__ import annotations

import contextlib
import ctypes
import heapq
import os
import sys
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from .event_loop import EventLoop, no_timeout

_CLOCK_MONOTONIC = 1
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | 0o2000000
_ABSTIME = 1


class _Spec(ctypes.Structure):
    """``struct itimerspec``: the interval, then the time of the first expiration."""

    _fields_ = [
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("due_s", ctypes.c_long),
        ("due_ns", ctypes.c_long),
    ]


class Timers:
    """Calls functions at monotonic times, in order. An event loop has at most one instance."""

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self._armed_ns: int | None = None
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self._fd = -1
        if self._libc is not None:
            self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
        if self._fd >= 0:
            loop.watch(self._fd, self._readable)
        else:
            loop.poll_timeout_s = self._poll_timeout_s

    def call_at(self, due_ns: int, function: Callable[..., None], *args: Any) -> None:
        """Call `function` at `due_ns`, or as soon as possible if that is in the past."""
        self._count += 1
        heapq.heappush(self._heap, (due_ns, self._count, function, args))
        if self._armed_ns is None or due_ns < self._armed_ns:
            self._arm(due_ns)

    def close(self) -> None:
        """Cancel all calls and release the timer descriptor. May be called twice."""
        self._heap.clear()
        if self._fd >= 0:
            self._loop.unwatch(self._fd)
            os.close(self._fd)
            self._fd = -1
        else:
            self._loop.poll_timeout_s = no_timeout

    def _readable(self, mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 8)
        self._run_due()

    def _run_due(self) -> None:
        # Calls added by these functions do not arm the timer; it is armed once, at the end.
        self._armed_ns = 0
        try:
            while self._heap and self._heap[0][0] <= monotonic_ns():
                _, _, function, args = heapq.heappop(self._heap)
                function(*args)
        finally:
            self._armed_ns = None
            if self._heap:
                self._arm(self._heap[0][0])

    def _arm(self, due_ns: int) -> None:
        self._armed_ns = due_ns
        if self._fd < 0:
            return
        # Zero would disarm the timer; a time in the past expires at once.
        due_s, rest_ns = divmod(max(1, due_ns), 1_000_000_000)
        spec = _Spec(0, 0, due_s, rest_ns)
        assert self._libc is not None
        self._libc.timerfd_settime(self._fd, _ABSTIME, ctypes.byref(spec), None)

    def _poll_timeout_s(self) -> float:
        """Without a timer descriptor: run what is due, and return the time until the next call."""
        if self._heap and self._heap[0][0] <= monotonic_ns():
            self._run_due()
            return 0.0  # The functions may have added work to the event loop.
        if not self._heap:
            return no_timeout()
        return max(0.0, (self._heap[0][0] - monotonic_ns()) / 1e9)
