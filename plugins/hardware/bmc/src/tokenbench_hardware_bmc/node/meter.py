"""Reads a BMC about once per second, so that a sample does not wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from .errors import Unavailable

PERIOD_S = 1.0
# After many attempts with a wrong password, a BMC blocks the user or the address.
PERMANENT_PERIOD_S = 60.0
# Older readings are not current.
OLDEST_S = 3.0


class Meter:
    """The newest reading of a source. `source`: opens it; called in the thread."""

    def __init__(self, source: Callable[[], Any], period_s: float = PERIOD_S) -> None:
        self._open = source
        self._period_s = period_s
        self._reading: tuple[float, dict[str, Any]] | None = None
        self._error: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bmc", daemon=True)
        self._thread.start()

    def sample(self) -> list[dict[str, Any]]:
        """The newest reading; nothing if it is older than 3 s; `lost` if the BMC failed since."""
        reading, error = self._reading, self._error
        if reading is not None and time.monotonic() - reading[0] <= OLDEST_S:
            return [{"device": 0, **reading[1]}]
        return [{"device": 0, "lost": error} if error else {"device": 0}]

    def close(self) -> None:
        """Stop asking. May be called twice."""
        self._ended.set()
        self._thread.join(timeout=0.5)

    def _run(self) -> None:
        source = None
        due = time.monotonic()
        while not self._ended.is_set():
            pause_s = self._period_s
            try:
                if source is None:
                    source = self._open()
                reading = source.read()
                self._reading = time.monotonic(), reading
                self._error = None
            except Unavailable as error:
                self._error = error.reason
                if error.permanent:
                    pause_s = PERMANENT_PERIOD_S
            except Exception as error:
                self._error = f"{type(error).__name__}: {error}"
            # After a late answer, continue at the period instead of catching up.
            due = max(due + pause_s, time.monotonic())
            self._ended.wait(due - time.monotonic())
        if source is not None:
            source.close()
