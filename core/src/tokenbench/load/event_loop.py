"""One thread, one poll: the loop of a load worker.

A loop for general use keeps handles, contexts and queues for every callback, which costs more than
a token does. This one calls a function when a descriptor is ready, and reading comes first: what
handlers leave to be done is done a little at a time, with a look at the sockets in between, so that
they are read soon, however much there is to be done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from . import native
from .poller import READ, Handler, Poller

# So long it is done before the sockets are looked at again. A shorter time would look sooner, but
# send requests one by one, and each would have to wake a server that had just gone to sleep.
_WORK_NS = 250_000
# So long for each read of a turn, which takes seven times that. More would send sooner, and read so
# late that tokens come out of one read together; what waits to be sent is dispatch delay instead.
_WORK_A_READ_NS = 1_000

Work = tuple[Callable[..., None], tuple[Any, ...]]


def forever() -> float:
    """How long a poll waits where nothing is due."""
    return -1


class EventLoop:
    """Calls handlers of ready descriptors, until it is told to return.

    `wait_s` says how long a turn may wait at most (-1: for ever); timers set it where the system
    has none that are descriptors. `work` is what handlers leave to be done, in order: a function,
    its arguments.
    """

    def __init__(self, poller: Poller | None = None) -> None:
        self.poller = poller or native.poller()
        self._soon: deque[Callable[[], None]] = deque()
        self._idle: deque[Callable[[], None]] = deque()
        self.work: deque[Work] = deque()
        self.wait_s: Callable[[], float] = forever

    def watch(self, fd: int, handler: Handler, mask: int = READ) -> None:
        """Call `handler` whenever `fd` is ready for one of `mask`; replaces what was there."""
        self.poller.watch(fd, handler, mask)

    def forget(self, fd: int) -> None:
        """Call nobody for `fd` any more; to be said before it is closed."""
        self.poller.forget(fd)

    def soon(self, function: Callable[[], None]) -> None:
        """Call it after the piece of `work` at hand."""
        self._soon.append(function)

    def idle(self, function: Callable[[], None]) -> None:
        """Call it once nothing is ready and nothing else is left to be done."""
        self._idle.append(function)

    def run_until(self, done: Callable[[], bool]) -> None:
        """Turn until `done()`, which is asked once a turn. What a handler raises ends it."""
        turn, soon, work, idle = self.poller.turn, self._soon, self.work, self._idle
        while not done():
            due_s = self.wait_s()  # Asked always: where the system has no timers, it fires them.
            called = turn(0 if soon or work or idle else due_s)
            if soon or work:
                self._some(called)
            elif idle and not called:
                idle.popleft()()

    def _some(self, reads: int) -> None:
        """Some of what is left to be done, and what is to follow from it: longer where the
        turn had many reads, or a busy worker would read ever on and never send.
        """
        soon, work = self._soon, self.work
        end_ns = monotonic_ns() + max(_WORK_NS, reads * _WORK_A_READ_NS)
        while work and monotonic_ns() < end_ns:
            function, arguments = work.popleft()
            function(*arguments)
        # What these ask for in turn comes after the next look at the sockets.
        for _ in range(len(soon)):
            soon.popleft()()

    def close(self) -> None:
        """Let go of the poll. May be called twice."""
        self.poller.close()
