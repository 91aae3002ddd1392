"""Ctrl-C, SIGTERM and SIGHUP: the first ends a run in order, the second at once, further ones
change nothing: the final state is being written.
"""

from __future__ import annotations

import signal
from types import FrameType

from tokenbench.guard.call import interrupt, resume


class Interrupt:
    """Polled by a run. Use as a context manager."""

    def __init__(self) -> None:
        self._asked = self._raised = False
        self._before: dict[int, object] = {}

    def __call__(self) -> bool:
        """Whether a signal arrived."""
        return self._asked

    def __enter__(self) -> Interrupt:
        resume()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        resume()
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked and not self._raised:
            self._raised = True
            raise KeyboardInterrupt
        self._asked = True
        interrupt()
