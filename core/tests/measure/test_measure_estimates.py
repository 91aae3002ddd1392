"""Estimates over repeats."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenbench.measure.estimates import estimate, estimates, t_quantile_975

# scipy.stats.t.ppf(0.975, df), scipy 1.17.1, 2026-11-21.
REFERENCE = {
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


@pytest.mark.parametrize(("degrees", "value"), REFERENCE.items())
def test_t_quantile_matches_scipy(degrees: int, value: float) -> None:
    """Odd and even degrees of freedom, to 1e-6."""
    assert t_quantile_975(degrees) == pytest.approx(value, abs=1e-6)


def test_t_quantile_converges_to_the_normal_quantile() -> None:
    """From above: 1.959964."""
    assert 1.959964 < t_quantile_975(20_000) < 1.9602


def test_interval_by_hand() -> None:
    """1, 2, 3: mean 2, standard deviation 1, half-width 4.302653 / sqrt(3)."""
    found = estimate([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.half_width == pytest.approx(4.302652729749462 / math.sqrt(3), abs=1e-6)


def test_no_interval_below_three_values() -> None:
    """Two values, or three of which one was not measured, have a mean only."""
    assert estimate([1.0, 3.0]).half_width is None
    found = estimate([1.0, None, 3.0])
    assert (found.mean, found.half_width, found.values) == (2.0, None, (1.0, None, 3.0))


def test_missing_values_are_none() -> None:
    """Not zero; a repeat without the metric keeps its place in `values`."""
    found = estimates([{"a": 1.0, "b": None}, {"a": 3.0}])
    assert (found["a"].mean, found["a"].values) == (2.0, (1.0, 3.0))
    assert found["b"].mean is None and found["b"].values == (None, None)


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=9), st.floats(-1e6, 1e6))
def test_shifted_values_have_the_same_width(values: list[float], shift: float) -> None:
    """A constant added to all values changes the mean only."""
    plain, moved = estimate(values), estimate([value + shift for value in values])
    assert moved.mean == pytest.approx(plain.mean + shift, abs=1e-3)
    assert moved.half_width == pytest.approx(plain.half_width, abs=1e-3)
