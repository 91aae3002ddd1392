"""One thread, one poll: the loop of a load worker.

A loop for general use keeps handles, contexts and queues for every callback, which costs more than
a token does. This one calls a function when a descriptor is ready, and reading comes first: what
handlers leave to be done is done a little at a time, with a look at the sockets in between, so that
they are read soon, however much there is to be done.
"""

from __future__ import annotations

import contextlib
import select
import selectors
from collections import deque
from collections.abc import Callable
from time import monotonic_ns
from typing import Any, Protocol

READ, WRITE = 1, 4
# So many sockets are read before some of what is left to be done is done.
_MOST = 256
# So long it is done before the sockets are looked at again. A shorter time would look sooner, but
# send requests one by one, and each would have to wake a server that had just gone to sleep.
_WORK_NS = 250_000
# A poll that takes no longer did not wait.
_AT_ONCE_NS = 100_000
# About what a read takes.
_READ_NS = 8_000
# One turn in 16 is timed, on average: with a fixed number, batches of sockets could keep step.
_TIMED = 16

Handler = Callable[[int], None]
Work = tuple[Callable[..., None], tuple[Any, ...]]


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
        """Descriptors that are ready, and for what; waits for `timeout` seconds, -1 for ever.

        All of them: they come in one order always, and those beyond `maxevents` would starve.
        """
        ready = self._selector.select(None if timeout < 0 else timeout)
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

    `work` is what handlers leave to be done, in order: a function, its arguments. For handlers that
    note how late they are: `since_ns` is the moment from which what was reported to them may have
    been ready (as far as a poll that seemed to wait did), and `timed` whether they should, in this
    turn.
    """

    def __init__(self, poller: Poller | None = None) -> None:
        self._poller: Poller = poller or _poller()
        self._handlers: dict[int, Handler] = {}
        self._soon: deque[Callable[[], None]] = deque()
        self._idle: deque[Callable[[], None]] = deque()
        self._until_timed = self._chance = 1
        # In a run of full polls: when it began, and how many events it has had.
        self._full_ns, self._handed = 0, 0
        self.since_ns = monotonic_ns()
        self.timed = False
        self.work: deque[Work] = deque()
        self.wait_s: Callable[[], float] = forever

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
        """Call it after the piece of `work` at hand."""
        self._soon.append(function)

    def idle(self, function: Callable[[], None]) -> None:
        """Call it once nothing is ready and nothing else is left to be done."""
        self._idle.append(function)

    def run_until(self, done: Callable[[], bool]) -> None:
        """Turn until `done()`, which is asked once a turn. What a handler raises ends it."""
        poll, handlers = self._poller.poll, self._handlers
        soon, work, idle = self._soon, self.work, self._idle
        full = False
        while not done():
            due_s = self.wait_s()  # Asked always: where the system has no timers, it fires them.
            wait_s = 0 if soon or work or idle or full else due_s
            asked_ns = monotonic_ns()
            events = poll(wait_s, _MOST)
            polled_ns = monotonic_ns()
            if wait_s and polled_ns - asked_ns > _AT_ONCE_NS:
                self.since_ns = polled_ns  # Nothing had been ready.
            self._until_timed -= 1
            self.timed = self._until_timed == 0
            for fd, mask in events:
                handler = handlers.get(fd)
                if handler is not None:
                    handler(mask)
            full = len(events) >= _MOST
            self._turned(len(events) if full else 0, polled_ns)
            if soon or work:
                self._some(len(events))
            elif idle and not events:
                idle.popleft()()

    def _turned(self, handed: int, polled_ns: int) -> None:
        """After a turn: which one is timed next, and since when what the next poll reports may have
        been ready. A poll that is not full (`handed` is 0) left nothing out. Full ones serve the
        sockets in turn: what was ready when a run of them began has been handed out once there were
        as many events as there are sockets.
        """
        if self.timed:
            # Constants of ISO C's example of rand().
            self._chance = (self._chance * 1103515245 + 12345) % (1 << 31)
            self._until_timed = 1 + (self._chance >> 16) % (2 * _TIMED - 1)
        self._handed += handed
        if not handed:
            self.since_ns, self._full_ns, self._handed = polled_ns, 0, 0
        elif not self._full_ns:
            self._full_ns = polled_ns
        elif self._handed > len(self._handlers):
            self.since_ns, self._full_ns, self._handed = self._full_ns, polled_ns, 0

    def _some(self, reads: int) -> None:
        """Some of what is left to be done, and what is to follow from it: at least for as long as
        the turn's reads took, or a busy worker would read ever on and never send.
        """
        soon, work = self._soon, self.work
        end_ns = monotonic_ns() + max(_WORK_NS, reads * _READ_NS)
        while work and monotonic_ns() < end_ns:
            function, arguments = work.popleft()
            function(*arguments)
        # What these ask for in turn comes after the next look at the sockets.
        for _ in range(len(soon)):
            soon.popleft()()

    def close(self) -> None:
        """Let go of the poll. May be called twice."""
        self._handlers.clear()
        self._poller.close()


def _poller() -> Poller:
    return select.epoll() if hasattr(select, "epoll") else Selector()
