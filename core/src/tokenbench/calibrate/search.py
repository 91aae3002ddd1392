"""Finds the certified envelope: raise the concurrency until a level fails, then bisect."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import attrs

from .step import Step

LEVELS = (1, 64, 256, 1024)
"""Measured first; above them the concurrency doubles."""
MAX_CONCURRENCY = 16384
"""Upper bound of the search: below the usual number of local ports (28,232 on Linux)."""
ATTEMPTS = 2
"""Default number of measurements of a level that fails."""
_PRECISION = 1.1


@attrs.frozen(kw_only=True)
class Envelope:
    """The largest concurrency at which all client checks pass, and what ended the search.

    `concurrency`: None if no level passed. `ended_by`: ``client`` (its checks failed at the next
    level), ``server`` (it could not keep its own schedule: the client's limit may be higher),
    ``max`` (no higher level was tried), ``list`` (all requested levels passed) or ``interrupted``.
    `reason`: the same as text. `path`: every measurement, in order.
    """

    concurrency: int | None
    ended_by: str
    reason: str
    path: tuple[Step, ...]

    @property
    def load_workers(self) -> int | None:
        """The load workers at that concurrency."""
        return next((s.load_workers for s in self.path if s.concurrency == self.concurrency), None)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The last measurement of each level, by ascending concurrency."""
        last = {step.concurrency: step for step in self.path}
        return tuple(last[level] for level in sorted(last))


class Search:
    """Finds the envelope.

    A level that fails is measured again, because a short disturbance by another program or another
    guest of the hypervisor can make a level fail. No disturbance can make a level pass.

    Args:
        measure: measures one level.
        interrupted: once True, the search ends with the levels measured so far.
        attempts: largest number of measurements per level.
    """

    def __init__(
        self,
        measure: Callable[[int], Step],
        interrupted: Callable[[], bool],
        attempts: int = ATTEMPTS,
    ) -> None:
        self._measure = measure
        self._interrupted = interrupted
        self._attempts = attempts
        self._path: list[Step] = []

    def run_list(self, levels: Sequence[int]) -> Envelope:
        """Measure exactly these levels."""
        for level in sorted(set(levels)):
            if not self._try(level):
                break
        return self._envelope("list", "all requested levels passed")

    def run(
        self, levels: Sequence[int] = LEVELS, max_concurrency: int = MAX_CONCURRENCY
    ) -> Envelope:
        """Measure these levels. Then double the concurrency while levels pass, and bisect between
        the highest level that passes and the lowest that fails, to 10 %.
        """
        going = True
        for level in sorted(levels):
            going = going and level <= max_concurrency and self._try(level)
        level = max(levels) * 2
        while going and self._failed is None and level <= max_concurrency:
            going = self._try(level)
            level *= 2
        while going and self._passed is not None and self._failed is not None:
            middle = round(math.sqrt(self._passed * self._failed.concurrency))
            near = self._failed.concurrency <= self._passed * _PRECISION
            if near or middle in (self._passed, self._failed.concurrency):
                break
            going = self._try(middle)
        return self._envelope("max", "no higher level was tried")

    @property
    def _passed(self) -> int | None:
        """The highest level that passed."""
        return max((s.concurrency for s in self._path if s.ended_by is None), default=None)

    @property
    def _failed(self) -> Step | None:
        """The last measurement of the lowest level above :attr:`_passed`: that level failed."""
        above = [step for step in self._path if step.concurrency > (self._passed or 0)]
        return min(reversed(above), key=lambda step: step.concurrency, default=None)

    def _try(self, level: int) -> bool:
        """Measure a level, and again if it fails; returns False if interrupted."""
        for _ in range(self._attempts):
            step = self._measure(level)
            if self._interrupted():
                return False
            self._path.append(step)
            if step.ended_by is None:
                break
        return True

    def _envelope(self, ended_by: str, reason: str) -> Envelope:
        """The result. `ended_by` and `reason` apply unless a failed level or the user ended it."""
        failed = self._failed
        if self._interrupted():
            ended_by, reason = "interrupted", "by the user"
        elif failed is not None and failed.ended_by is not None:
            ended_by = failed.ended_by
            limits = failed.server_limit or "; ".join(failed.client_limits)
            reason = f"at concurrency {failed.concurrency}: {limits}"
        return Envelope(
            concurrency=self._passed, ended_by=ended_by, reason=reason, path=tuple(self._path)
        )
