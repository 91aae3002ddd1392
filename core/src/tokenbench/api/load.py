"""Load levels, and the plan that selects them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from .result import PointResult


ARRIVALS = ("constant", "poisson", "gamma", "ramp", "replay")
"""Arrival processes of open loops with a rate."""
WORKLOAD_TIMES = "workload"
"""The arrival process of a speed: the times of the workload's data."""
_KINDS = ("concurrency", "rate", "speed")


@attrs.frozen(kw_only=True)
class LoadLevel:
    """One concurrency (closed loop), one rate or one speed (open loop). Exactly one of them is set.

    `concurrency`: requests in flight (sessions, if `unit` is ``session``). `rate_per_s`: sessions
    that begin per second. `speed`: sessions begin at the times in the workload's data, divided by
    this number (arrival ``workload``). `arrival`: the arrival process of an open loop
    (:data:`ARRIVALS`): ``constant``, ``poisson``, ``gamma`` with shape `burstiness` (1 is Poisson,
    less than 1 is burstier), ``ramp`` from `ramp_from_per_s` to the rate over the phase, or
    ``replay`` of a trace's timestamps, scaled to the rate. `trace` is the SHA-256 of those
    timestamps.
    """

    concurrency: int | None = None
    rate_per_s: float | None = None
    speed: float | None = None
    unit: str = "request"
    arrival: str = attrs.field()
    burstiness: float = 1.0
    ramp_from_per_s: float | None = None
    trace: str | None = None

    @arrival.default
    def _default_arrival(self) -> str:
        if self.speed is not None:
            return WORKLOAD_TIMES
        return "closed" if self.rate_per_s is None else "poisson"

    def __attrs_post_init__(self) -> None:
        given = (self.concurrency, self.rate_per_s, self.speed)
        if sum(value is not None for value in given) != 1:
            raise ValueError("a load level has either a concurrency, a rate or a speed")
        if self.speed is not None and not self.speed > 0:
            raise ValueError(f"speed: expected more than 0, got {self.speed}")
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError(f"concurrency: expected at least 1, got {self.concurrency}")
        if self.rate_per_s is not None and not self.rate_per_s > 0:
            raise ValueError(f"rate_per_s: expected more than 0, got {self.rate_per_s}")
        wrong = self.speed is not None and self.arrival != WORKLOAD_TIMES
        if wrong or (self.rate_per_s is not None) != (self.arrival in ARRIVALS):
            kind = next(k for k, v in zip(_KINDS, given, strict=True) if v is not None)
            raise ValueError(f"arrival: {self.arrival!r} is not allowed with a {kind}")
        if not self.burstiness > 0:
            raise ValueError(f"burstiness: expected more than 0, got {self.burstiness:g}")

    @property
    def label(self) -> str:
        """Short text for tables and folder names: ``c8``, ``r2.5``, ``r2.5-gamma``."""
        if self.concurrency is not None:
            return f"c{self.concurrency}"
        if self.speed is not None:
            return f"x{self.speed:g}"
        kind = "" if self.arrival == "poisson" else f"-{self.arrival}"
        return f"r{self.rate_per_s:g}{kind}"


@attrs.frozen(kw_only=True)
class Stop:
    """When a phase stops sending: at the first limit reached. In-flight turns are drained.

    `duration_s` (seconds) takes effect only after `min_requests` were sent, so that a slow server
    reaches a steady state too. After `sessions` sessions, no more begin and those in progress are
    completed; the other limits cut them.
    """

    duration_s: float | None = None
    min_requests: int | None = None
    requests: int | None = None
    sessions: int | None = None


class LoadPlan(ABC):
    """Selects the next load level from the results so far."""

    __slots__ = ()

    @abstractmethod
    def next(self, history: Sequence[PointResult]) -> LoadLevel | None:
        """The next level, or None at the end. Pure: depends on `history` only."""

    def known(self) -> Sequence[LoadLevel]:
        """The levels known in advance, for `bench plan` and the ETA."""
        return ()


@attrs.frozen
class FixedLoadPlan(LoadPlan):
    """A fixed list of levels, in order."""

    levels: tuple[LoadLevel, ...]

    def next(self, history: Sequence[PointResult]) -> LoadLevel | None:
        """The first level without a result."""
        return self.levels[len(history)] if len(history) < len(self.levels) else None

    def known(self) -> Sequence[LoadLevel]:
        """All levels."""
        return self.levels
