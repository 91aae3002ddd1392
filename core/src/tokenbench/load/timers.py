"""Calls that are due at exact times.

libuv rounds its timers to milliseconds, which would show as dispatch delay. Linux has timers that
are file descriptors (timerfd_create(2)); the loop polls one like a socket, and it is set to the
nanosecond. Elsewhere the loop's own timer is used, and certification says what that costs.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import heapq
import os
import sys
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

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

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self._armed_ns: int | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self._fd = -1
        if self._libc is not None:
            self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
        if self._fd >= 0:
            loop.add_reader(self._fd, self._readable)

    def at(self, due_ns: int, function: Callable[..., None], *args: Any) -> None:
        """Call `function` at `due_ns`, or as soon as possible where that is past."""
        self._count += 1
        heapq.heappush(self._heap, (due_ns, self._count, function, args))
        if self._armed_ns is None or due_ns < self._armed_ns:
            self._arm(due_ns)

    def clear(self) -> None:
        """Forget what is due."""
        self._heap.clear()

    def close(self) -> None:
        """Forget what is due and let go of the timer. May be called twice."""
        self._heap.clear()
        if self._handle is not None:
            self._handle.cancel()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 8)
        self._fire()

    def _fire(self) -> None:
        # What is set meanwhile is not armed one by one: the earliest of all is, at the end.
        self._armed_ns = 0
        heap = self._heap
        try:
            while heap and heap[0][0] <= monotonic_ns():
                _, _, function, args = heapq.heappop(heap)
                function(*args)
        finally:
            self._armed_ns = None
            if heap:
                self._arm(heap[0][0])

    def _arm(self, due_ns: int) -> None:
        self._armed_ns = due_ns
        if self._fd < 0:
            if self._handle is not None:
                self._handle.cancel()
            wait_s = max(0.0, (due_ns - monotonic_ns()) / 1e9)
            self._handle = self._loop.call_later(wait_s, self._fire)
            return
        # A time of zero would disarm it; one that is past fires at once.
        due_s, rest_ns = divmod(max(1, due_ns), 1_000_000_000)
        spec = _Spec(0, 0, due_s, rest_ns)
        assert self._libc is not None
        self._libc.timerfd_settime(self._fd, _ABSTIME, ctypes.byref(spec), None)
