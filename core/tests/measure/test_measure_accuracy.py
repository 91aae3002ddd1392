"""The Wilson interval and the verdict against a threshold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenbench.api import Accuracy
from tokenbench.measure.accuracy import judge, wilson


def test_wilson_by_hand() -> None:
    """5 of 10: 0.2366 to 0.7634 (z = 1.96); 0 of 10: 0 to 0.2775; no question: 0 to 1."""
    assert wilson(5, 10) == pytest.approx((0.236593, 0.763407), abs=1e-6)
    assert wilson(0, 10) == pytest.approx((0.0, 0.277533), abs=1e-6)
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("minimum", "verdict"),
    [(0.2, Accuracy.PASS), (0.5, Accuracy.UNDECIDED), (0.8, Accuracy.FAIL)],
)
def test_verdict(minimum: float, verdict: Accuracy) -> None:
    """Pass if the interval is above the threshold, fail if below, else undecided."""
    assert judge(wilson(5, 10), minimum) is verdict


def test_verdict_at_the_bounds() -> None:
    """A lower bound equal to the threshold passes; an upper bound equal to it is undecided."""
    assert judge((0.5, 0.9), 0.5) is Accuracy.PASS
    assert judge((0.1, 0.5), 0.5) is Accuracy.UNDECIDED


@given(st.integers(1, 5000))
def test_exact_bounds_of_extreme_scores(n: int) -> None:
    """No rounding: all correct reaches a threshold of 1, none correct stays below any other."""
    assert wilson(n, n)[1] == 1.0
    assert wilson(0, n)[0] == 0.0
    assert judge(wilson(n, n), 1.0) is judge(wilson(0, n), 1e-12) is Accuracy.UNDECIDED


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.floats(0, n), st.just(n))))
def test_interval_contains_the_score(case: tuple[float, int]) -> None:
    """Also for partial scores; the interval is within [0, 1]."""
    low, high = wilson(*case)
    assert 0.0 <= low <= case[0] / case[1] + 1e-12
    assert case[0] / case[1] - 1e-12 <= high <= 1.0
