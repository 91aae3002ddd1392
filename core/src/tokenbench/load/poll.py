"""Which descriptors are ready, and since when they may have been.

Here for every system; where :mod:`.native` has it compiled, its twin in ``_native.c`` is used.
"""

from __future__ import annotations

import contextlib
import select
import selectors
from collections.abc import Callable
from time import monotonic_ns
from typing import Protocol

READ, WRITE = 1, 4
# So many sockets are read before some of what is left to be done is done.
MOST = 256
# A poll that takes no longer did not wait.
_AT_ONCE_NS = 100_000
# One turn in 16 is timed, on average: with a fixed number, batches of sockets could keep step.
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


def _wanted(mask: int) -> int:
    return (selectors.EVENT_READ if mask & READ else 0) | (
        selectors.EVENT_WRITE if mask & WRITE else 0
    )


class Poll:
    """Calls the handlers of ready descriptors, turn by turn.

    A handler gets the mask of what its descriptor is ready for: READ, WRITE, and what else the
    system says of a descriptor that broke. For those that note how late they are: `since_ns` is the
    moment from which what was reported to them may have been ready (as far as a poll that seemed to
    wait did), and `timed` whether they should, in this turn.
    """

    def __init__(self, poller: Poller | None = None, *, most: int = MOST) -> None:
        self._poller: Poller = poller or _poller()
        self._most = most
        self._handlers: dict[int, Handler] = {}
        self._until_timed = self._chance = 1
        # In a run of full polls: when it began, and how many events it has had.
        self._full_ns, self._handed = 0, 0
        self.since_ns = monotonic_ns()
        self.timed = self._full = False

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

    def late_ns(self, came_ns: int) -> int:
        """How late a read just made may be: of what it holds, something may have come before its
        stamp, but nothing before its socket can have been ready.
        """
        return monotonic_ns() - min(came_ns, self.since_ns)

    def turn(self, wait_s: float) -> int:
        """Wait for at most `wait_s` (-1: for ever), and call the handlers of what is ready: so
        many. The compiled twin goes on while it may wait for ever and only tokens came: then no
        Python has run that could have changed anything for who asks for turns.
        """
        handlers = self._handlers
        if self._full:
            wait_s = 0
        asked_ns = monotonic_ns()
        events = self._poller.poll(wait_s, self._most)
        polled_ns = monotonic_ns()
        if wait_s and polled_ns - asked_ns > _AT_ONCE_NS:
            self.since_ns = polled_ns  # Nothing had been ready.
        self._until_timed -= 1
        self.timed = self._until_timed == 0
        for fd, mask in events:
            handler = handlers.get(fd)
            if handler is not None:
                handler(mask)
        count = len(events)
        self._full = count >= self._most
        self._turned(count if self._full else 0, polled_ns)
        return count

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

    def close(self) -> None:
        """Let go of it. May be called twice."""
        self._handlers.clear()
        self._poller.close()


def _poller() -> Poller:
    return select.epoll() if hasattr(select, "epoll") else Selector()
