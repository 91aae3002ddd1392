"""Where a run tells what it is doing. The terminal display and the plain lines implement it."""

from __future__ import annotations

from typing import Protocol

import attrs

from tokenbench.api import EvalOutcome, PointResult
from tokenbench.load.worker_handle import Progress


@attrs.frozen(kw_only=True)
class Step:
    """What is being measured now: point `number` of `points`, one of its phases.

    `phase` is ``warm-up`` or ``repeat 2/3``; `expected_s` its length where it is known.
    """

    deployment: str
    label: str
    number: int
    points: int
    phase: str
    expected_s: float | None
    expected_turns: int | None
    left_s: float | None


class ProgressDisplay(Protocol):
    """A display. Calls come from the run's one thread; none may raise."""

    def note(self, message: str, **facts: object) -> None:
        """Something happened that is worth a line."""

    def step(self, step: Step) -> None:
        """A phase begins."""

    def progress(self, progress: Progress) -> None:
        """A few times a second while a phase runs."""

    def point(self, result: PointResult) -> None:
        """A point's result is on disk."""

    def asked(self, name: str, done: int, total: int | None) -> None:
        """An eval has so many answers."""

    def outcome(self, outcome: EvalOutcome) -> None:
        """An eval's outcome is on disk."""
