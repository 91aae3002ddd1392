"""The event loop of a load worker: one thread, one poller.

A general event loop keeps handles, contexts and queues for every callback, which costs more CPU
time than a token. This one only calls a function when a descriptor is ready. Handlers read at once
and defer all other work, which runs in short slices with a poll after each. So sockets are read
soon, however much deferred work there is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from . import native
from .poller import READ, Handler, Poller

# Length of a slice of deferred work. Shorter slices would send requests one by one, and each would
# have to wake the server.
_SLICE_NS = 250_000
# A slice grows by this much per event, about a seventh of the event's own time. Longer slices would
# send requests sooner, but read so late that several tokens share a read.
_SLICE_NS_PER_EVENT = 1_000

Work = tuple[Callable[..., None], tuple[Any, ...]]


def no_timeout() -> float:
    """The poll timeout if nothing is due."""
    return -1


class EventLoop:
    """Polls until told to stop.

    `deferred` is the queue of work deferred by handlers: functions with their arguments.
    `poll_timeout_s` returns how long a poll may wait, in seconds (-1: no limit); timers replace it
    on systems without timer descriptors.
    """

    def __init__(self, poller: Poller | None = None) -> None:
        self.poller = poller or native.poller()
        self._soon: deque[Callable[[], None]] = deque()
        self._when_idle: deque[Callable[[], None]] = deque()
        self.deferred: deque[Work] = deque()
        self.poll_timeout_s: Callable[[], float] = no_timeout

    def watch(self, fd: int, handler: Handler, mask: int = READ) -> None:
        """Call `handler` whenever `fd` is ready for one of `mask`; replaces an earlier handler."""
        self.poller.watch(fd, handler, mask)

    def unwatch(self, fd: int) -> None:
        """Stop watching `fd`. Call before closing it."""
        self.poller.unwatch(fd)

    def call_soon(self, function: Callable[[], None]) -> None:
        """Call `function` after the next slice of deferred work."""
        self._soon.append(function)

    def call_when_idle(self, function: Callable[[], None]) -> None:
        """Call `function` once no descriptor is ready and no other work is left."""
        self._when_idle.append(function)

    def run_until(self, done: Callable[[], bool]) -> None:
        """Poll until `done()` is true, checked before each poll. Exceptions of handlers end it."""
        poll, soon, deferred, when_idle = (
            self.poller.poll,
            self._soon,
            self.deferred,
            self._when_idle,
        )
        while not done():
            # Always called: on systems without timer descriptors, this runs the due timers.
            timeout_s = self.poll_timeout_s()
            events = poll(0 if soon or deferred or when_idle else timeout_s)
            if soon or deferred:
                self._run_slice(events)
            elif when_idle and not events:
                when_idle.popleft()()

    def _run_slice(self, events: int) -> None:
        """Run a slice of deferred work, then the functions passed to :meth:`call_soon`.

        A slice is longer after many events; otherwise a busy worker would only read and never send.
        """
        soon, deferred = self._soon, self.deferred
        end_ns = monotonic_ns() + max(_SLICE_NS, events * _SLICE_NS_PER_EVENT)
        while deferred and monotonic_ns() < end_ns:
            function, arguments = deferred.popleft()
            function(*arguments)
        # Functions added by these calls wait for the next slice.
        for _ in range(len(soon)):
            soon.popleft()()

    def close(self) -> None:
        """Release the poller. May be called twice."""
        self.poller.close()
