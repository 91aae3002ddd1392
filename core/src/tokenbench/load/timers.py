"""Calls that are due at exact times.

A poll's time-out is rounded to milliseconds, which would show as dispatch delay. Linux has timers
that are file descriptors (timerfd_create(2)); the reactor polls one like a socket, and it is set to
the nanosecond. Elsewhere the poll's time-out is used, and certification says what that costs.
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

from .event_loop import EventLoop, forever

_CLOCK_MONOTONIC = 1
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | 0o2000000
_ABSTIME = 1


class _Spec(ctypes.Structure):
    """``struct itimerspec``: interval, then the time it is due."""

    _fields_ = [
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("due_s", ctypes.c_long),
        ("due_ns", ctypes.c_long),
    ]


class Timers:
    """Calls functions at monotonic times, in order; one set for all of a worker's waits."""

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
            loop.wait_s = self._wait_s

    def at(self, due_ns: int, function: Callable[..., None], *args: Any) -> None:
        """Call `function` at `due_ns`, or as soon as possible where that is past."""
        self._count += 1
        heapq.heappush(self._heap, (due_ns, self._count, function, args))
        if self._armed_ns is None or due_ns < self._armed_ns:
            self._arm(due_ns)

    def close(self) -> None:
        """Forget what is due and let go of the timer. May be called twice."""
        self._heap.clear()
        if self._fd >= 0:
            self._loop.forget(self._fd)
            os.close(self._fd)
            self._fd = -1
        else:
            self._loop.wait_s = forever

    def _readable(self, mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 8)
        self._fire()

    def _fire(self) -> None:
        # What is set meanwhile is not armed one by one: the earliest of all is, at the end.
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
        # A time of zero would disarm it; one that is past fires at once.
        due_s, rest_ns = divmod(max(1, due_ns), 1_000_000_000)
        spec = _Spec(0, 0, due_s, rest_ns)
        assert self._libc is not None
        self._libc.timerfd_settime(self._fd, _ABSTIME, ctypes.byref(spec), None)

    def _wait_s(self) -> float:
        """For a poll without a descriptor of the kernel's: fires what is due, says what is left."""
        if self._heap and self._heap[0][0] <= monotonic_ns():
            self._fire()
            return 0.0  # What fired may have something to be done about.
        if not self._heap:
            return forever()
        return max(0.0, (self._heap[0][0] - monotonic_ns()) / 1e9)
