"""Which file descriptors are ready.

``_native.c`` has a faster :class:`Poller` with the same interface; see :mod:`.native`.
"""

from __future__ import annotations

import contextlib
import selectors
from collections.abc import Callable
from time import monotonic_ns

# Event masks, as epoll has them.
READ, WRITE = 1, 4
# A poll that returned within this time found something ready; a longer one waited for it.
_IMMEDIATE_NS = 100_000

Handler = Callable[[int], None]


class Poller:
    """Calls the handlers of ready file descriptors.

    A handler gets the event mask: READ, WRITE or both. `ready_since_ns` is the earliest monotonic
    time at which the events of the current poll can have become ready.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.ready_since_ns = monotonic_ns()

    def watch(self, fd: int, handler: Handler, mask: int = READ) -> None:
        """Call `handler` whenever `fd` is ready for one of `mask`; replaces an earlier handler."""
        events = (selectors.EVENT_READ if mask & READ else 0) | (
            selectors.EVENT_WRITE if mask & WRITE else 0
        )
        if fd in self._selector.get_map():
            self._selector.modify(fd, events, handler)
        else:
            self._selector.register(fd, events, handler)

    def unwatch(self, fd: int) -> None:
        """Stop watching `fd`. Call before closing it."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(fd)

    def read_delay_ns(self, arrived_ns: int) -> int:
        """An upper bound on how long bytes that were just read had been waiting.

        Args:
            arrived_ns: their timestamp. Bytes before the last ones may have arrived earlier, but
                not before the socket was ready.
        """
        return monotonic_ns() - min(arrived_ns, self.ready_since_ns)

    def poll(self, timeout_s: float) -> int:
        """Wait for events, at most `timeout_s` seconds (-1: no limit), and call their handlers.

        Returns the number of events. Without a limit, the compiled version keeps polling as long as
        only tokens arrive.
        """
        before_ns = monotonic_ns()
        ready = self._selector.select(None if timeout_s < 0 else timeout_s)
        polled_ns = monotonic_ns()
        if timeout_s and polled_ns - before_ns > _IMMEDIATE_NS:
            self.ready_since_ns = polled_ns
        watched = self._selector.get_map()
        for key, events in ready:
            if watched.get(key.fd) is key:  # An earlier handler may have stopped watching it.
                key.data(
                    (READ if events & selectors.EVENT_READ else 0)
                    | (WRITE if events & selectors.EVENT_WRITE else 0)
                )
        self.ready_since_ns = polled_ns
        return len(ready)

    def close(self) -> None:
        """Release the system's poll object. May be called twice."""
        self._selector.close()
