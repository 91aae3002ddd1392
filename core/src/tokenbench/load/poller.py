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
# A poll that returns within this time found events that were already ready.
_IMMEDIATE_NS = 100_000
# While pauses are watched, a poll ends after this time at the latest.
_LONGEST_WAIT_S = 0.01
# A poll that is later than that by more than this follows a pause. Handlers and the scheduler of a
# busy machine delay a poll by less.
_TOLERANCE_NS = 40_000_000

Handler = Callable[[int], None]


class Poller:
    """Calls the handlers of ready file descriptors.

    A handler gets the event mask: READ, WRITE or both. `ready_since_ns` is the earliest monotonic
    time at which the events of the current poll can have become ready. `longest_pause_ns` and
    `paused_ns` are the longest pause since :meth:`watch_pauses`, and the sum of all.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._polled_ns = 0
        self.ready_since_ns = monotonic_ns()
        self.longest_pause_ns = self.paused_ns = 0

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
            arrived_ns: their timestamp, which is that of the last bytes. Earlier bytes may have
                arrived before, but not before the socket was ready.
        """
        return monotonic_ns() - min(arrived_ns, self.ready_since_ns)

    def watch_pauses(self) -> None:
        """From now on, measure for how long this process did not poll.

        Each poll then ends after 10 ms. So a longer time between two polls means that the process
        was halted, that it got no CPU time, or that a handler took that long.
        """
        self._polled_ns = monotonic_ns()
        self.longest_pause_ns = self.paused_ns = 0

    def check_pause(self) -> None:
        """Count the time since the last poll, if that was a pause. :meth:`poll` calls this."""
        if not self._polled_ns:
            return
        now_ns = monotonic_ns()
        pause_ns = now_ns - self._polled_ns - round(_LONGEST_WAIT_S * 1e9)
        self._polled_ns = now_ns
        if pause_ns > _TOLERANCE_NS:
            self.longest_pause_ns = max(self.longest_pause_ns, pause_ns)
            self.paused_ns += pause_ns

    def poll(self, timeout_s: float) -> int:
        """Wait for events, at most `timeout_s` seconds (-1: no limit), and call their handlers.

        Returns the number of events. After a signal, and while pauses are watched, it may return 0
        before the timeout. Without a limit, the compiled version keeps polling as long as only
        tokens arrive.
        """
        if self._polled_ns and not 0 <= timeout_s <= _LONGEST_WAIT_S:
            timeout_s = _LONGEST_WAIT_S
        before_ns = monotonic_ns()
        ready = self._selector.select(None if timeout_s < 0 else timeout_s)
        polled_ns = monotonic_ns()
        self.check_pause()
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
