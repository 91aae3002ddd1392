"""Gates that stop early: error rates and savings by simulation, against asking all questions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tokenbench.api import Accuracy
from tokenbench.measure.accuracy import judge, passing_counts, questions_needed, wilson
from tokenbench.measure.sequential import Progress, certain_counts, certain_verdict

GSM8K = 1319
BATCH = 8


def full_verdict(total: int, right: int, minimum: float) -> Accuracy:
    """The verdict when all questions were asked."""
    return judge(wilson(right, total), minimum)


def stopped(
    total: int,
    right: int,
    minimum: float,
    dice: np.random.Generator,
    *,
    confidence: float = 0.95,
    batch: int = BATCH,
    unanswered: int = 0,
) -> tuple[Accuracy, int]:
    """Verdict of a gate, and how many questions it asked. `unanswered` of the wrong ones get no
    answer.
    """
    kinds = np.zeros(total, int)
    kinds[:right], kinds[right : right + unanswered] = 1, 2
    dice.shuffle(kinds)
    rights, missed = np.cumsum(kinds == 1), np.cumsum(kinds == 2)
    for asked in range(batch, total, batch):
        progress = Progress(
            total=total,
            asked=asked,
            right=int(rights[asked - 1]),
            unanswered=int(missed[asked - 1]),
        )
        verdict = certain_verdict(progress, minimum, confidence)
        if verdict is not None:
            return verdict, asked
    interval = wilson(right, total)[0], wilson(right + unanswered, total)[1]
    return judge(interval, minimum), total


def test_same_verdict_as_all_questions_with_a_third_of_them() -> None:
    """200 models, accuracy uniform within 0.10 of the threshold: at least 99 % of the verdicts are
    those of all 1,319 questions, and the median gate asks at most a third.
    """
    dice = np.random.default_rng(20261130)
    same, shares = [], []
    for accuracy in dice.uniform(0.8, 1.0, 200):
        right = int(dice.binomial(GSM8K, accuracy))
        verdict, asked = stopped(GSM8K, right, 0.9, dice)
        same.append(verdict is full_verdict(GSM8K, right, 0.9))
        shares.append(asked / GSM8K)
    assert np.mean(same) >= 0.99
    assert np.median(shares) <= 1 / 3


@pytest.mark.parametrize("offset", [-1, 0], ids=["one below", "at the limit"])
@pytest.mark.parametrize(("total", "minimum"), [(200, 0.5), (400, 0.9)])
def test_the_error_rate_is_bounded_where_it_is_hardest(
    total: int, minimum: float, offset: int
) -> None:
    """One right answer less than it takes to pass, or just enough: looked at after every question,
    the wrong verdict is given in at most the asked share of orders (0.025 on each side; three
    standard deviations of 400 orders are allowed).
    """
    right = passing_counts(total, minimum)[0] + offset
    expected = full_verdict(total, right, minimum)
    dice = np.random.default_rng(total + offset)
    orders = 400
    wrong = sum(
        stopped(total, right, minimum, dice, batch=1)[0] is not expected for _ in range(orders)
    )
    assert wrong / orders <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / orders)
    assert expected is (Accuracy.UNDECIDED if offset else Accuracy.PASS)


def test_bounds_of_the_count_hold_at_every_look() -> None:
    """In at least 95 % of random orders, the true count is within the bounds at all looks."""
    dice = np.random.default_rng(5)
    total, right, orders = 60, 42, 200
    held = 0
    for _ in range(orders):
        outcomes = dice.permutation([1] * right + [0] * (total - right))
        rights = np.cumsum(outcomes)
        looks = range(6, total + 1, 6)
        bounds = (
            certain_counts(Progress(total=total, asked=n, right=int(rights[n - 1])), 0.95)
            for n in looks
        )
        held += all(low <= right <= high for low, high in bounds)
    assert held / orders >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / orders)


def test_bounds_and_verdict_agree() -> None:
    """A pass is certain where the least count passes, a fail where the largest fails."""
    dice = np.random.default_rng(9)
    total = 100
    to_pass, to_fail = passing_counts(total, 0.8)
    seen = set()
    for _ in range(300):
        asked = int(dice.integers(1, total + 1))
        right = int(dice.binomial(asked, dice.uniform(0.6, 1.0)))
        progress = Progress(total=total, asked=asked, right=right)
        low, high = certain_counts(progress, 0.95)
        verdict = certain_verdict(progress, 0.8, 0.95)
        seen.add(verdict)
        assert (verdict is Accuracy.PASS) == (low >= to_pass)
        assert (verdict is Accuracy.FAIL) == (high <= to_fail)
    assert seen >= {Accuracy.PASS, Accuracy.FAIL, None}


def test_everything_is_certain_at_the_end() -> None:
    """All asked: the bounds are the count, apart from questions without an answer."""
    assert certain_counts(Progress(total=50, asked=50, right=31), 0.95) == (31, 31)
    some = Progress(total=50, asked=50, right=31, unanswered=4)
    assert certain_counts(some, 0.95) == (31, 35)


def test_nothing_is_certain_at_the_start() -> None:
    """The first answers decide nothing."""
    for right in (0, 1, 2):
        assert certain_verdict(Progress(total=GSM8K, asked=2, right=right), 0.9, 0.95) is None


def test_unanswered_questions_count_against_both_verdicts() -> None:
    """A gate neither passes nor fails by questions that got no answer."""
    dice = np.random.default_rng(2)
    for right, unanswered in ((930, 70), (600, 350)):
        verdict, _ = stopped(1000, right, 0.9, dice, unanswered=unanswered)
        interval = wilson(right, 1000)[0], wilson(right + unanswered, 1000)[1]
        assert verdict is judge(interval, 0.9)


@pytest.mark.parametrize(("n", "low", "high"), [(50, 0.92, 0.98), (GSM8K, 0.94, 0.96)])
def test_coverage_of_the_wilson_interval(n: int, low: float, high: float) -> None:
    """The share of scores whose interval contains the true accuracy, from 0.05 to 0.95: exact, by
    the binomial distribution, and within three standard deviations by simulation.
    """
    intervals = np.array([wilson(k, n) for k in range(n + 1)])
    logs = np.cumsum(np.concatenate([[0.0], np.log(np.arange(1, n + 1))]))
    counts = np.arange(n + 1)
    chances = logs[n] - logs[counts] - logs[n - counts]
    dice = np.random.default_rng(n)
    draws = 20_000
    for p in np.arange(0.05, 0.951, 0.05):
        within = (intervals[:, 0] <= p) & (p <= intervals[:, 1])
        exact = np.exp(chances + counts * math.log(p) + (n - counts) * math.log(1 - p))[
            within
        ].sum()
        assert low <= exact <= high, p
        simulated = within[dice.binomial(n, p, draws)].mean()
        assert abs(simulated - exact) <= 3.5 * math.sqrt(exact * (1 - exact) / draws)


def test_how_many_questions_would_decide() -> None:
    """At the score so far: with so many the interval excludes the threshold, with fewer not."""
    for value, minimum in ((0.92, 0.9), (0.47, 0.5), (0.31, 0.3)):
        needed = questions_needed(value, minimum)
        assert needed is not None
        for n, decided in ((needed + 1, True), (needed - 2, False)):
            verdict = judge(wilson(value * n, n), minimum)
            assert (verdict is not Accuracy.UNDECIDED) is decided
    assert questions_needed(0.5, 0.5) is questions_needed(0.4, 1.0) is None
