"""A load plan that searches for the largest load that meets all objectives.

It doubles from the lowest load until one fails, then bisects between the largest load that passed
and the smallest that failed until they are within the tolerance. A load passes if the mean of its
repeats meets every objective, no request failed, and the measurement is not invalid.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from tokenbench.api import FrozenMap, LoadLevel, LoadPlan, Measurement, PointResult, PointState
from tokenbench.suite.slo import Objective

_MOST_STEPS = 40


@attrs.frozen(kw_only=True)
class Trial:
    """One load of a search. `why`: what failed."""

    value: float
    passed: bool
    why: str


@attrs.frozen(kw_only=True)
class Bisection(LoadPlan):
    """The search. `like`: the level whose rate or concurrency is varied.

    `lowest`: the first load. `highest`: the upper bound (None: none). `tolerance`: the relative gap
    at which the search ends.
    """

    like: LoadLevel
    objectives: tuple[Objective, ...]
    lowest: float
    highest: float | None = None
    tolerance: float = 0.05

    @property
    def _whole(self) -> bool:
        return self.like.concurrency is not None

    def next(self, history: Sequence[PointResult]) -> LoadLevel | None:
        """The next load; None once the largest is known."""
        trials = [self.trial(result) for result in history]
        value = self._next_value(trials)
        level = None if value is None else self.level(value)
        tried = {trial.value for trial in trials}
        # Rounding may lead back to a load that was tried.
        return None if level is None or _load(level) in tried else level

    def known(self) -> Sequence[LoadLevel]:
        """Only the first is known beforehand."""
        return (self.level(self.lowest),)

    def trial(self, result: PointResult) -> Trial:
        """A result as a trial of its load."""
        why = _fault(result, self.objectives)
        return Trial(value=_load(result.level), passed=why is None, why=why or "")

    def found(self, history: Sequence[PointResult]) -> float | None:
        """The largest load that passed; None if none did."""
        passed = [trial.value for trial in map(self.trial, history) if trial.passed]
        return max(passed) if passed else None

    def _next_value(self, trials: list[Trial]) -> float | None:
        if not trials:
            return self.lowest
        if len(trials) >= _MOST_STEPS:
            return None
        failed = min((t.value for t in trials if not t.passed), default=None)
        below = [t.value for t in trials if t.passed and (failed is None or t.value < failed)]
        best = max(below, default=None)
        if failed is None:
            assert best is not None
            if self.highest is not None and best >= self.highest:
                return None
            wanted = best * 2
            return wanted if self.highest is None else min(wanted, self.highest)
        if best is None:
            return self._halve(failed)
        if self._whole:
            middle = (best + failed) // 2
            done = failed - best <= max(1.0, self.tolerance * best)
            return None if done else middle
        return None if failed / best <= 1 + self.tolerance else (best * failed) ** 0.5

    def _halve(self, failed: float) -> float | None:
        """The next load if the lowest failed, too; None after a few steps."""
        if self._whole:
            return failed // 2 if failed > 1 else None
        return failed / 2 if failed > self.lowest / 64 else None

    def level(self, value: float) -> LoadLevel:
        """The level of a load."""
        if self._whole:
            return attrs.evolve(self.like, concurrency=max(1, int(value)))
        return attrs.evolve(self.like, rate_per_s=float(f"{value:.4g}"))


def _load(level: LoadLevel) -> float:
    return float(level.concurrency or level.rate_per_s or 0.0)


def _fault(result: PointResult, objectives: Sequence[Objective]) -> str | None:
    """Why a load fails, or None."""
    if result.state is not PointState.DONE:
        return f"{result.state}: {result.error}"
    for check in result.checks:
        if check.name == "failures" and check.outcome != "ok":
            return f"failures: {check.evidence}"
    for objective in objectives:
        metrics = result.metrics
        if objective.label is not None:
            metrics = result.classes.get(objective.label, FrozenMap())
        estimate = metrics.get(objective.name)
        if estimate is None or estimate.mean is None:
            return f"{objective}: not measured"
        if estimate.mean > objective.limit_s:
            return f"{objective}: {estimate.mean * 1e3:.4g} ms"
    if result.measurement is Measurement.INVALID:
        return "the measurement is invalid"
    return None
