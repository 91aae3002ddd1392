"""Hands out prepared sessions in a load worker, and measures how long it had none."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic_ns

from .session_file import NotYet, QueuedSession, SessionReader
from .timers import Timers

_RETRY_NS = 2_000_000
# Python 3.11 looks up the members of an enum slowly.
_NOT_YET = NotYet.PREPARED


class SessionSource:
    """The sessions of a phase, in order.

    `taken`: sessions handed out. `starved_ns`: time during which a session was wanted, but none was
    prepared yet.

    Args:
        start: called with each session and its scheduled time; returns whether to go on.
        ended: called once there are no more sessions.
        failed: called with the error of a session that cannot be read.
    """

    def __init__(
        self,
        reader: SessionReader,
        timers: Timers,
        *,
        start: Callable[[QueuedSession, int], bool],
        ended: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._reader = reader
        self._timers = timers
        self._start, self._ended, self._failed = start, ended, failed
        # Scheduled times of the sessions that could not start yet.
        self._wanted: deque[int] = deque()
        self._starved_since_ns = 0
        self.taken = 0
        self.starved_ns = 0

    @property
    def labels(self) -> set[str]:
        """The labels of the single requests so far."""
        return self._reader.labels

    @property
    def waiting(self) -> int:
        """Sessions that could not start yet."""
        return len(self._wanted)

    def start_next(self, scheduled_ns: int) -> bool:
        """Start the next session, now or once it is prepared; returns False if there is none."""
        self._wanted.append(scheduled_ns)
        return len(self._wanted) > 1 or self._start_wanted()

    def stop(self) -> None:
        """Start no more sessions."""
        self._wanted.clear()
        if self._starved_since_ns:
            self._end_starvation()

    def _start_wanted(self) -> bool:
        while self._wanted:
            try:
                session = self._reader.next()
            except BaseException as error:
                self._failed(error)
                return False
            if session is _NOT_YET:
                self._starved_since_ns = self._starved_since_ns or monotonic_ns()
                self._timers.call_at(monotonic_ns() + _RETRY_NS, self._retry)
                return True
            if self._starved_since_ns:
                self._end_starvation()
            if session is None:
                self._ended()
                return False
            self.taken += 1
            if not self._start(session, self._wanted.popleft()):
                return False
        return True

    def _retry(self) -> None:
        self._start_wanted()

    def _end_starvation(self) -> None:
        self.starved_ns += monotonic_ns() - self._starved_since_ns
        self._starved_since_ns = 0
