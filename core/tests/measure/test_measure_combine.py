"""Estimates over repeats."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenbench.measure.combine import combine, estimate, t_quantile_975

# Two-sided 95 % points of Student's t, as scipy.stats.t.ppf(0.975, df) gave them
# (scipy 1.17.1, 2026-11-21).
KNOWN = {
    1: 12.706204736174694,
    2: 4.302652729749462,
    3: 3.1824463052837078,
    4: 2.7764451051977934,
    5: 2.5705818356363146,
    9: 2.262157162798205,
    10: 2.228138851986274,
    30: 2.0422724563012378,
    120: 1.9799304050824402,
}


@pytest.mark.parametrize(("degrees", "value"), KNOWN.items())
def test_t_quantile_is_right_to_a_millionth(degrees: int, value: float) -> None:
    """Odd and even degrees, against published values."""
    assert t_quantile_975(degrees) == pytest.approx(value, abs=1e-6)


def test_t_quantile_nears_the_normal_one() -> None:
    """With many repeats it is 1.959964, from above."""
    assert 1.959964 < t_quantile_975(20_000) < 1.9602


def test_interval_by_hand() -> None:
    """1, 2, 3: mean 2, standard deviation 1, half-width 4.302653 / sqrt(3)."""
    found = estimate([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.half_width == pytest.approx(4.302652729749462 / math.sqrt(3), abs=1e-6)


def test_below_three_repeats_there_is_no_interval() -> None:
    """Two values, or three of which one was not measured, have a mean only."""
    assert estimate([1.0, 3.0]).half_width is None
    found = estimate([1.0, None, 3.0])
    assert (found.mean, found.half_width, found.values) == (2.0, None, (1.0, None, 3.0))


def test_not_measured_stays_none() -> None:
    """No value is no zero; a metric that one repeat lacks keeps its place there."""
    found = combine([{"a": 1.0, "b": None}, {"a": 3.0}])
    assert found["a"].mean == 2.0
    assert found["b"].mean is None and found["b"].values == (None, None)


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=9), st.floats(-1e6, 1e6))
def test_moving_all_values_moves_only_the_mean(values: list[float], shift: float) -> None:
    """The interval's width is that of the scatter."""
    plain, moved = estimate(values), estimate([value + shift for value in values])
    assert moved.mean == pytest.approx(plain.mean + shift, abs=1e-3)
    assert moved.half_width == pytest.approx(plain.half_width, abs=1e-3)
