"""The accuracy verdict: the Wilson interval of a score against a threshold."""

from __future__ import annotations

import bisect
import functools
import math

from tokenbench.api import Accuracy

# 97.5 % point of the normal distribution.
_Z = 1.959963984540054


def wilson(correct: float, n: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a proportion (E. B. Wilson, JASA 22, 1927).

    Args:
        correct: sum of the scores, each in [0, 1].
        n: number of questions; 0 gives (0, 1).
    """
    if n == 0:
        return 0.0, 1.0
    share = correct / n
    centre = share + _Z**2 / (2 * n)
    spread = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    scale = 1 + _Z**2 / n
    # No rounding at 0 and 1: 0.9999999999999999 would fail a threshold of 1.
    low = 0.0 if correct <= 0 else max(0.0, (centre - spread) / scale)
    high = 1.0 if correct >= n else min(1.0, (centre + spread) / scale)
    return low, high


def judge(interval: tuple[float, float], minimum: float) -> Accuracy:
    """Pass if the whole interval reaches the threshold; fail if no part of it does."""
    if interval[0] >= minimum:
        return Accuracy.PASS
    if interval[1] < minimum:
        return Accuracy.FAIL
    return Accuracy.UNDECIDED


@functools.lru_cache(maxsize=64)
def passing_counts(n: int, minimum: float) -> tuple[int, int]:
    """The smallest number of right answers to `n` questions that passes (n + 1 if none does), and
    the largest that fails (-1 if none does).
    """
    counts = range(n + 1)
    to_pass = bisect.bisect_left(counts, True, key=lambda k: wilson(k, n)[0] >= minimum)
    to_fail = bisect.bisect_left(counts, True, key=lambda k: wilson(k, n)[1] >= minimum) - 1
    return to_pass, to_fail


def questions_needed(value: float, minimum: float) -> int | None:
    """How many questions are needed until the interval of an unchanged score excludes the
    threshold. None if the score equals the threshold, or the threshold is 0 or 1.

    The Wilson interval excludes the threshold t if |score - t| is at least z sqrt(t (1 - t) / n).
    """
    variance = minimum * (1 - minimum)
    if value == minimum or not variance > 0:
        return None
    return math.ceil(_Z**2 * variance / (value - minimum) ** 2)
