"""Wilson's interval and the verdict against a threshold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenbench.api import Accuracy
from tokenbench.measure.accuracy import judge, wilson


def test_wilson_by_hand() -> None:
    """5 of 10: 0.5 +- 0.2634 (z = 1.96; the textbook's 0.2366 to 0.7634); 0 of 10: 0 to 0.2775."""
    assert wilson(5, 10) == pytest.approx((0.236593, 0.763407), abs=1e-6)
    assert wilson(0, 10) == pytest.approx((0.0, 0.277533), abs=1e-6)
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("minimum", "verdict"),
    [(0.2, Accuracy.PASS), (0.5, Accuracy.UNDECIDED), (0.8, Accuracy.FAIL)],
)
def test_verdict_by_the_whole_interval(minimum: float, verdict: Accuracy) -> None:
    """Pass above it, fail below it, undecided inside."""
    assert judge(wilson(5, 10), minimum) is verdict


def test_edges_belong_to_pass_and_undecided() -> None:
    """A lower bound at the threshold passes; an upper bound at it does not yet fail."""
    assert judge((0.5, 0.9), 0.5) is Accuracy.PASS
    assert judge((0.1, 0.5), 0.5) is Accuracy.UNDECIDED


@given(st.integers(1, 5000))
def test_all_right_never_fails_and_all_wrong_never_passes(n: int) -> None:
    """Rounding must not put the interval's exact ends inside."""
    assert judge(wilson(n, n), 1.0) is not Accuracy.FAIL
    assert judge(wilson(0, n), 1e-12) is not Accuracy.PASS


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.floats(0, n), st.just(n))))
def test_interval_holds_the_share(case: tuple[float, int]) -> None:
    """Also for partial scores; it never leaves [0, 1]."""
    low, high = wilson(*case)
    assert 0.0 <= low <= case[0] / case[1] + 1e-12
    assert case[0] / case[1] - 1e-12 <= high <= 1.0
