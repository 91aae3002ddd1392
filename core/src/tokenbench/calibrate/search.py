"""Which levels are measured: up to the first that does not hold, then between the two. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import attrs

from .step import Step

LEVELS = (1, 64, 256, 1024)
"""Measured in any case, as far as they hold; beyond them the load is doubled."""
MOST = 16384
"""Streams that are not exceeded: below the usual number of local ports (28,232 on Linux)."""
ATTEMPTS = 2
"""How often a level that does not hold is measured, unless the user says otherwise."""
_NEAR = 1.1


@attrs.frozen(kw_only=True)
class Envelope:
    """The largest load at which all held, and what ended the search.

    `streams`: None where not even the first level held. `ended_by`: ``client`` (its checks failed
    at the next load), ``server`` (it could no longer keep its own schedule: the client may reach
    further), ``most`` (nobody tried more), ``list`` (all that was asked held) or ``interrupted``.
    `why`: the same in words. `path`: every level in the order it was measured.
    """

    streams: int | None
    ended_by: str
    why: str
    path: tuple[Step, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """The last measurement of each level, in the order of the levels."""
        last = {step.concurrency: step for step in self.path}
        return tuple(last[level] for level in sorted(last))


class Search:
    """Finds the envelope.

    A level that does not hold is measured again: another program's moment is no limit, nor is that
    of another machine under the same hypervisor. What such a moment does is to make a level fail;
    none makes one hold.

    Args:
        measure: measures a level.
        interrupted: once True, the search ends with what it has.
        attempts: how often a level is measured at most.
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

    def of_list(self, levels: Sequence[int]) -> Envelope:
        """Measure each of these levels, and no other."""
        for level in sorted(set(levels)):
            if not self._try(level):
                break
        return self._found("list", "all levels that were asked for held")

    def up(self, levels: Sequence[int] = LEVELS, most: int = MOST) -> Envelope:
        """Measure these levels; double while the last one holds; then look between the largest that
        holds and the next that does not, to 10 %.
        """
        going = True
        for level in sorted(levels):
            going = going and level <= most and self._try(level)
        level = max(levels) * 2
        while going and self._bad is None and level <= most:
            going = self._try(level)
            level *= 2
        while going and self._good is not None and self._bad is not None:
            middle = round(math.sqrt(self._good * self._bad.concurrency))
            near = self._bad.concurrency <= self._good * _NEAR
            if near or middle in (self._good, self._bad.concurrency):
                break
            going = self._try(middle)
        return self._found("most", "nothing larger was tried")

    @property
    def _good(self) -> int | None:
        """The largest level that holds."""
        return max((s.concurrency for s in self._path if s.ended_by is None), default=None)

    @property
    def _bad(self) -> Step | None:
        """The smallest level above it, which does not."""
        above = [step for step in self._path if step.concurrency > (self._good or 0)]
        return min(reversed(above), key=lambda step: step.concurrency, default=None)

    def _try(self, level: int) -> bool:
        """Measure a level, again where it does not hold; False when the user stopped it."""
        for _ in range(self._attempts):
            step = self._measure(level)
            if self._interrupted():
                return False
            self._path.append(step)
            if step.ended_by is None:
                break
        return True

    def _found(self, otherwise: str, why: str) -> Envelope:
        ended_by, bad = otherwise, self._bad
        if self._interrupted():
            ended_by, why = "interrupted", "by the user"
        elif bad is not None and bad.ended_by is not None:
            ended_by = bad.ended_by
            said = bad.server_limit or "; ".join(bad.client_limits)
            why = f"at {bad.concurrency} streams: {said}"
        return Envelope(streams=self._good, ended_by=ended_by, why=why, path=tuple(self._path))
