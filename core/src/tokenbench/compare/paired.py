"""Two results of one eval, compared question by question."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs

from tokenbench.api import EvalOutcome, PointResult

from .match import ALWAYS_ACROSS, FIELDS

# 97.5 % point of the normal distribution.
_Z = 1.959963984540054
_OF_A_POINT = ("workload", "workload_options", "level")


@attrs.frozen(kw_only=True)
class Grade:
    """The grade of one question: 1 is right, 0 wrong. `digest`: of the question's text."""

    score: float
    digest: str | None = None


Grades = Mapping[str, Grade]
"""Grades by the id of the question."""


@attrs.frozen(kw_only=True)
class PairedEval:
    """An eval that two deployments answered. `n`: questions with a grade in both. `a` and `b`: the
    scores on these. `only_a`, `only_b`: right on one side only. `difference` is b - a, with its
    95 % interval; `p_value`: McNemar's exact test of no difference.

    `differs`: known differences of the deployments. `problem`: why the two are not compared; then
    `difference` is None.
    """

    eval: str
    variant: str
    deployments: tuple[str, str]
    differs: tuple[str, ...] = ()
    n: int = 0
    a: float | None = None
    b: float | None = None
    only_a: int = 0
    only_b: int = 0
    difference: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    problem: str | None = None


def pair_evals(
    a: Sequence[EvalOutcome],
    b: Sequence[EvalOutcome],
    points: tuple[Sequence[PointResult], Sequence[PointResult]],
    across: Sequence[str] = (),
) -> list[tuple[EvalOutcome, EvalOutcome, tuple[str, ...]]]:
    """Pairs of outcomes of one eval and variant, with their differences. Their deployments are the
    same, or have equal fields except for `across`, or are the only ones with this eval.
    """
    facts = [{point.deployment: point for point in side} for side in points]
    fields = [f for f in FIELDS if f not in {*across, *ALWAYS_ACROSS, *_OF_A_POINT}]
    left_a, left_b = list(a), list(b)
    found = []
    for same in (_same_deployment, _described, _alone):
        for one in list(left_a):
            mine = [o for o in left_a if _kind(o) == _kind(one) and same(o, one, facts[:1], fields)]
            theirs = [o for o in left_b if _kind(o) == _kind(one) and same(one, o, facts, fields)]
            if len(mine) == len(theirs) == 1:
                left_a.remove(one)
                left_b.remove(theirs[0])
                found.append((one, theirs[0], _differences(one, theirs[0], facts)))
    return found


def _kind(outcome: EvalOutcome) -> tuple[str, str, str]:
    return outcome.eval, outcome.variant, outcome.metric


_Facts = Sequence[Mapping[str, PointResult]]


def _same_deployment(a: EvalOutcome, b: EvalOutcome, facts: _Facts, fields: Sequence[str]) -> bool:
    return a.deployment == b.deployment


def _described(a: EvalOutcome, b: EvalOutcome, facts: _Facts, fields: Sequence[str]) -> bool:
    one, other = facts[0].get(a.deployment), facts[-1].get(b.deployment)
    if one is None or other is None:
        return False
    return all(getattr(one, name) == getattr(other, name) for name in fields)


def _alone(a: EvalOutcome, b: EvalOutcome, facts: _Facts, fields: Sequence[str]) -> bool:
    return True


def _differences(a: EvalOutcome, b: EvalOutcome, facts: _Facts) -> tuple[str, ...]:
    one, other = facts[0].get(a.deployment), facts[1].get(b.deployment)
    if one is None or other is None:
        return ()
    return tuple(
        f"{name} {getattr(one, name)} -> {getattr(other, name)}"
        for name in FIELDS
        if name not in _OF_A_POINT and getattr(one, name) != getattr(other, name)
    )


def compare_grades(
    a: EvalOutcome, b: EvalOutcome, differs: tuple[str, ...], grades: tuple[Grades, Grades]
) -> PairedEval:
    """Compare two outcomes on the questions that are graded in both, with the same text."""
    base = PairedEval(
        eval=a.eval,
        variant=a.variant,
        deployments=(a.deployment, b.deployment),
        differs=differs,
    )
    pairs = [
        (one.score, other.score)
        for question, one in grades[0].items()
        if (other := grades[1].get(question)) is not None and one.digest == other.digest
    ]
    if not pairs:
        return attrs.evolve(base, problem="no question has a grade on both sides")
    if not {score for pair in pairs for score in pair} <= {0.0, 1.0}:
        return attrs.evolve(base, n=len(pairs), problem="answers have partial scores")
    n = len(pairs)
    only_a = pairs.count((1.0, 0.0))
    only_b = pairs.count((0.0, 1.0))
    both = pairs.count((1.0, 1.0))
    return attrs.evolve(
        base,
        n=n,
        a=(both + only_a) / n,
        b=(both + only_b) / n,
        only_a=only_a,
        only_b=only_b,
        difference=(only_b - only_a) / n,
        interval=difference_interval(only_a, only_b, n),
        p_value=mcnemar(only_a, only_b),
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """The two-sided p-value of the exact test (Q. McNemar, Psychometrika 12, 1947): without a
    difference, a question that only one side has right is equally likely on either side.
    """
    n, fewer = only_a + only_b, min(only_a, only_b)
    logs = (_log_choose(n, k) - n * math.log(2) for k in range(fewer + 1))
    return min(1.0, 2 * math.fsum(map(math.exp, logs)))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def difference_interval(only_a: int, only_b: int, n: int) -> tuple[float, float]:
    """The 95 % interval of the difference b - a of two paired proportions, adjusted Wald (D.
    Bonett and R. Price, J. Educ. Behav. Stat. 37, 2012).
    """
    share_a, share_b = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    middle = share_b - share_a
    spread = _Z * math.sqrt((share_a + share_b - middle**2) / (n + 2))
    return max(-1.0, middle - spread), min(1.0, middle + spread)
