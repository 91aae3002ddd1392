"""One thread, one poll: the loop of a load worker.

A loop for general use keeps handles, contexts and queues for every callback, which costs more than
a token does. This one calls a function when a descriptor is ready, and knows three things besides:
what is to follow once all sockets of a turn were read (`soon`), what can wait until nothing is
ready (`idle`), and how long the sockets of a turn had to wait for one another (`delays`).
"""

from __future__ import annotations

import contextlib
import select
import selectors
from collections import deque
from collections.abc import Callable
from time import monotonic_ns
from typing import Protocol

from .delays import Delays

READ, WRITE = 1, 4
# So many sockets are looked at before what follows from them is done.
_MOST = 256
# One turn in so many is timed.
_TIMED = 16

Handler = Callable[[int], None]


class Poller(Protocol):
    """What `select.epoll` offers, of which elsewhere there is :class:`Selector`."""

    def register(self, fd: int, eventmask: int, /) -> None:
        """Report this descriptor from now on."""

    def modify(self, fd: int, eventmask: int, /) -> None:
        """Report it for something else."""

    def unregister(self, fd: int, /) -> None:
        """Report it no more."""

    def poll(self, timeout: float, maxevents: int, /) -> list[tuple[int, int]]:
        """Descriptors that are ready, and for what; waits for `timeout` seconds, -1 for ever."""

    def close(self) -> None:
        """Let go of it."""


class Selector:
    """The same where there is no epoll."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def register(self, fd: int, eventmask: int, /) -> None:
        """Report this descriptor from now on."""
        self._selector.register(fd, _wanted(eventmask))

    def modify(self, fd: int, eventmask: int, /) -> None:
        """Report it for something else."""
        self._selector.modify(fd, _wanted(eventmask))

    def unregister(self, fd: int, /) -> None:
        """Report it no more."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(fd)

    def poll(self, timeout: float, maxevents: int, /) -> list[tuple[int, int]]:
        """Descriptors that are ready, and for what; waits for `timeout` seconds, -1 for ever."""
        ready = self._selector.select(None if timeout < 0 else timeout)[:maxevents]
        return [
            (
                key.fd,
                (READ if mask & selectors.EVENT_READ else 0)
                | (WRITE if mask & selectors.EVENT_WRITE else 0),
            )
            for key, mask in ready
        ]

    def close(self) -> None:
        """Let go of it."""
        self._selector.close()


def forever() -> float:
    """How long a poll waits where nothing is due."""
    return -1


def _wanted(mask: int) -> int:
    return (selectors.EVENT_READ if mask & READ else 0) | (
        selectors.EVENT_WRITE if mask & WRITE else 0
    )


class Reactor:
    """Calls handlers of ready descriptors, until it is told to return.

    A handler gets the mask of what its descriptor is ready for: READ, WRITE, and what else the
    system says of a descriptor that broke. `wait_s` says how long a turn may wait at most (-1: for
    ever); timers set it where the system has none that are descriptors.
    """

    def __init__(self, poller: Poller | None = None) -> None:
        self._poller: Poller = poller or _poller()
        self._handlers: dict[int, Handler] = {}
        self._soon: list[Callable[[], None]] = []
        self._idle: deque[Callable[[], None]] = deque()
        self._turns = 0
        self.wait_s: Callable[[], float] = forever
        self.delays = Delays()

    def watch(self, fd: int, handler: Handler, mask: int = READ) -> None:
        """Call `handler` whenever `fd` is ready for one of `mask`; replaces what was there."""
        if fd in self._handlers:
            self._poller.modify(fd, mask)
        else:
            self._poller.register(fd, mask)
        self._handlers[fd] = handler

    def forget(self, fd: int) -> None:
        """Call nobody for `fd` any more; to be said before it is closed."""
        if self._handlers.pop(fd, None) is not None:
            with contextlib.suppress(OSError):
                self._poller.unregister(fd)

    def soon(self, function: Callable[[], None]) -> None:
        """Call it once all sockets of this turn have been read."""
        self._soon.append(function)

    def idle(self, function: Callable[[], None]) -> None:
        """Call it once nothing is ready and nothing is to be done soon."""
        self._idle.append(function)

    def run_until(self, done: Callable[[], bool]) -> None:
        """Turn until `done()`, which is asked once a turn. What a handler raises ends it."""
        poll, handlers = self._poller.poll, self._handlers
        while not done():
            waits = -1 if not (self._soon or self._idle) else 0
            events = poll(self.wait_s() if waits else 0, _MOST)
            self._turns += 1
            if self._turns % _TIMED == 0:
                self._timed(events)
            else:
                for fd, mask in events:
                    handler = handlers.get(fd)
                    if handler is not None:
                        handler(mask)
            if self._soon:
                now, self._soon = self._soon, []
                for function in now:
                    function()
            elif self._idle and not events:
                self._idle.popleft()()

    def close(self) -> None:
        """Let go of the poll. May be called twice."""
        self._handlers.clear()
        self._poller.close()

    def _timed(self, events: list[tuple[int, int]]) -> None:
        """A turn that notes how long after the poll each socket's turn came."""
        polled_ns = monotonic_ns()
        for fd, mask in events:
            handler = self._handlers.get(fd)
            if handler is not None:
                self.delays.add(monotonic_ns() - polled_ns)
                handler(mask)


def _poller() -> Poller:
    return select.epoll() if hasattr(select, "epoll") else Selector()
