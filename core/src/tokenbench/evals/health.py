"""Whether the server of an eval still answers, judged by all questions together."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from tokenbench.api import EngineError
from tokenbench.load.generate import Generated

# The eval ends after this many consecutive questions without an answer.
ROW = 8
# The server refuses one question, for example because it is too long.
_OF_THE_QUESTION = {400, 413, 422}


class Health:
    """The state of the server. `down`: the error that ends the eval; None while it continues.

    Args:
        stall_timeout_s: the longest time without a byte while questions wait for one.
    """

    def __init__(self, *, stall_timeout_s: float) -> None:
        self.down: EngineError | None = None
        self._stall_timeout_s = stall_timeout_s
        self._lock = threading.Lock()
        self._waiting = 0
        self._quiet_since = self._last_answer = float("-inf")
        self._row = 0

    def now(self) -> float:
        """The clock of all times here."""
        return time.monotonic()

    def heard(self) -> None:
        """A part of a response arrived."""
        self._quiet_since = self.now()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """A request was sent, and its response is awaited."""
        with self._lock:
            self._waiting += 1
            self._quiet_since = self.now()
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    def answered(self) -> None:
        """A question was answered."""
        with self._lock:
            self._row, self._last_answer = 0, self.now()

    def given_up(self, last: Generated, begun: float) -> None:
        """A question was given up. `last`: its last failure; `begun`: when it was first asked."""
        with self._lock:
            self._row += 1
            if self.down is not None:
                return
            ever = self._last_answer > float("-inf")
            if last.http_status in _OF_THE_QUESTION and ever:
                return
            dead = last.lost == "connect" and self._last_answer < begun
            if dead or self._row >= ROW:
                times = "" if self._row == 1 else f" ({self._row} questions in a row)"
                self.down = EngineError(
                    f"the server failed on an eval question: {last.error}{times}",
                    hint="check that it still runs; answers are kept, so the run can be resumed"
                    if dead
                    else "see the server's log",
                )

    def check(self) -> None:
        """Raise what ends the eval, if anything does."""
        if self.down is None and self._stalled():
            self.down = EngineError(
                f"the server stalled: nothing arrived for {self._stall_timeout_s:g} s, with "
                f"{self._waiting} eval questions in flight",
                hint="see its log; raise load.stall_timeout_s if it is only slow",
            )
        if self.down is not None:
            raise self.down

    def _stalled(self) -> bool:
        with self._lock:
            return self._waiting > 0 and self.now() - self._quiet_since > self._stall_timeout_s
