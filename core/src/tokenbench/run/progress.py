"""The interface of a run's progress display; see :mod:`tokenbench.cli.display`."""

from __future__ import annotations

from typing import Protocol

import attrs

from tokenbench.api import EvalOutcome, PointResult
from tokenbench.load.worker_handle import Progress


@attrs.frozen(kw_only=True)
class Step:
    """The phase being measured, of point `number` of `points`.

    `phase` is ``warm-up`` or ``repeat 2/3``. `expected_s` is its length, `left_s` the time left of
    the run; None if unknown.
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
    """A display. Called from one thread; must not raise."""

    def note(self, message: str, **facts: object) -> None:
        """Show a line that stays."""

    def starting(self, phase: str) -> None:
        """The startup phase of a server, as its engine describes it. Called when it changes."""

    def step(self, step: Step) -> None:
        """A phase begins."""

    def progress(self, progress: Progress) -> None:
        """Called several times a second during a phase."""

    def point(self, result: PointResult) -> None:
        """A point's result is on disk."""

    def asked(self, name: str, done: int, total: int | None) -> None:
        """An eval has `done` of `total` answers."""

    def outcome(self, outcome: EvalOutcome) -> None:
        """An eval's outcome is on disk."""
