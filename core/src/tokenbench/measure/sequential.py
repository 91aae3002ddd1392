"""Bounds on the score over all questions when only some of them were asked.

The questions are asked in random order, without replacement, and each answer is right or wrong. So
the number of right answers to all questions is a fixed unknown K, and the number of right answers
to the first n is hypergeometric.

"K is at most m" is rejected as soon as at least c(n) of the first n answers are right. The limits
c(n) are computed exactly, question by question: for K = m, the probability of reaching any of them
stays below a bound that grows with n (error spending: K. Lan and D. DeMets, Biometrika 70, 1983).
For K < m the same order of questions gives at most as many right answers at every n, so the
probability is smaller still. The bound therefore holds at all n together: it is safe to test after
every answer, and to stop at the first test that decides.
"""

from __future__ import annotations

import functools

import attrs
import numpy as np

from tokenbench.api import Accuracy

from .accuracy import passing_counts
from .arrays import Ints

# The share of questions after which the whole error probability is spent. An early decision saves
# many questions, a late one few.
_SPENT_BY = 0.5


@attrs.frozen(kw_only=True)
class Progress:
    """Of `total` questions, `asked` were asked so far, in random order. `right` of these got a
    right answer and `unanswered` got none.
    """

    total: int
    asked: int
    right: int
    unanswered: int = 0

    @property
    def wrong(self) -> int:
        """How many got a wrong answer."""
        return self.asked - self.right - self.unanswered


def certain_counts(progress: Progress, confidence: float) -> tuple[int, int]:
    """The smallest and the largest possible number of right answers to all questions; an unanswered
    question may be right or wrong. Both hold with `confidence`, at all tests together.
    """
    return (
        _least(progress, progress.right, confidence),
        progress.total - _least(progress, progress.wrong, confidence),
    )


def certain_verdict(progress: Progress, minimum: float, confidence: float) -> Accuracy | None:
    """The verdict over all questions, if it is certain with `confidence`; None if more questions
    must be asked.
    """
    total, right, wrong = progress.total, progress.right, progress.wrong
    to_pass, to_fail = passing_counts(total, minimum)

    def at_least(count: int, successes: int) -> bool:
        """Whether it is certain that at least `count` of all answers are successes."""
        return _rejects(progress, successes, count - 1, confidence)

    if at_least(to_pass, right):
        return Accuracy.PASS
    if at_least(total - to_fail, wrong):
        return Accuracy.FAIL
    if at_least(to_fail + 1, right) and at_least(total - to_pass + 1, wrong):
        return Accuracy.UNDECIDED
    return None


def _least(progress: Progress, successes: int, confidence: float) -> int:
    """The smallest number of successes in all answers that is not rejected, by bisection."""
    low, high = successes, progress.total - (progress.asked - successes)
    while low < high:
        middle = (low + high) // 2
        if _rejects(progress, successes, middle, confidence):
            low = middle + 1
        else:
            high = middle
    return low


def _rejects(progress: Progress, successes: int, at_most: int, confidence: float) -> bool:
    """Whether "at most `at_most` of all answers are successes" is rejected."""
    if at_most < successes:
        return True
    if at_most >= progress.total - (progress.asked - successes):
        return False
    # Half of the error probability for each side.
    limits = _limits(progress.total, at_most, (1 - confidence) / 2)
    return bool(successes >= limits[progress.asked])


@functools.lru_cache(maxsize=256)
def _limits(total: int, at_most: int, alpha: float) -> Ints:
    """For n from 0 to `total`: how many successes among the first n reject "at most `at_most` of
    all". If there are exactly `at_most`, any limit is reached with probability `alpha` at most.
    """
    limits = np.empty(total + 1, dtype=np.int64)
    limits[0] = 1
    # The probabilities of 0, 1, ... successes so far, without having reached a limit.
    chances = np.array([1.0])
    spent = 0.0
    for asked in range(total):
        successes = np.arange(len(chances))
        # Clipped, because an impossible state has a probability of zero only up to rounding.
        right = chances * np.clip((at_most - successes) / (total - asked), 0.0, 1.0)
        chances = np.append(chances - right, 0.0)
        chances[1:] += right
        allowed = alpha * min(1.0, (asked + 1) / (_SPENT_BY * total)) - spent
        tail = np.cumsum(chances[::-1])[::-1]
        limit = int(np.searchsorted(-tail, -allowed))
        if limit < len(chances):
            spent += float(tail[limit])
            chances = chances[:limit]
        limits[asked + 1] = min(limit, at_most + 1)
    return limits
