"""The frontier against a search of all pairs; interpolation; values at an interactivity."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenbench.economics.cost import usd_per_million_tokens
from tokenbench.economics.curve import frontier_curve
from tokenbench.economics.frontier import on_frontier
from tokenbench.economics.steffen import steffen

# Few values, so that ties and duplicates are common.
coordinates = st.one_of(st.integers(0, 6).map(float), st.floats(-1e6, 1e6), st.none())
points = st.lists(st.tuples(coordinates, coordinates), max_size=40)


@given(points=points)
def test_the_frontier_is_that_of_all_pairs(points) -> None:
    """By the definition of strict dominance, point by point."""

    def dominates(a, b) -> bool:
        gains = [a[i] - b[i] for i in (0, 1)]
        return min(gains) >= 0 and max(gains) > 0

    known = [p for p in points if None not in p]
    wanted = [None not in p and not any(dominates(other, p) for other in known) for p in points]
    x, y = [p[0] for p in points], [p[1] for p in points]
    assert on_frontier(x, y).tolist() == wanted


def test_exact_duplicates_all_stay() -> None:
    """Neither is better than the other; one with the same x and a worse y goes."""
    assert on_frontier([1, 1, 1, 2], [5, 5, 4, 3]).tolist() == [True, True, False, True]


gaps = st.floats(min_value=1e-3, max_value=1e3)
heights = st.floats(min_value=-1e4, max_value=1e4)
knots = st.lists(st.tuples(gaps, heights), min_size=2, max_size=12)


@given(knots=knots, places=st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_interpolation_stays_between_its_neighbours(knots, places) -> None:
    """Between two knots, no value is outside of the range of theirs, whatever the others are."""
    x, y = np.cumsum([k[0] for k in knots]), np.array([k[1] for k in knots])
    for left in range(len(x) - 1):
        at = x[left] + np.array(places) * (x[left + 1] - x[left])
        at = np.minimum(at, x[left + 1])
        found = steffen(x, y, at)
        low, high = sorted(y[left : left + 2])
        assert ((found >= low) & (found <= high)).all()


@given(knots=knots)
def test_interpolation_is_monotone_between_neighbours(knots) -> None:
    """Rising or falling from knot to knot, within rounding."""
    x, y = np.cumsum([k[0] for k in knots]), np.array([k[1] for k in knots])
    for left in range(len(x) - 1):
        found = steffen(x, y, np.linspace(x[left], x[left + 1], 50))
        steps = np.diff(found) * np.sign(y[left + 1] - y[left])
        assert (steps >= -1e-9 * np.abs(y).max()).all()


@given(knots=knots)
def test_interpolation_is_exact_at_knots_and_ends_there(knots) -> None:
    """Equality, not closeness; nothing is extrapolated."""
    x, y = np.cumsum([k[0] for k in knots]), np.array([k[1] for k in knots])
    assert steffen(x, y, x).tolist() == y.tolist()
    outside = np.array([np.nextafter(x[0], -np.inf), np.nextafter(x[-1], np.inf)])
    assert np.isnan(steffen(x, y, outside)).all()


@given(knots=st.lists(st.tuples(gaps, heights), min_size=2, max_size=2), place=st.floats(0, 1))
def test_two_knots_are_a_straight_line(knots, place: float) -> None:
    """The chord, within rounding."""
    x, y = np.cumsum([k[0] for k in knots]), np.array([k[1] for k in knots])
    at = min(x[0] + place * (x[1] - x[0]), x[1])
    line = y[0] + (y[1] - y[0]) * (at - x[0]) / (x[1] - x[0])
    scale = np.abs(y).max()
    assert steffen(x, y, np.array([at]))[0] == pytest.approx(line, rel=1e-9, abs=1e-9 * scale)


@given(slope=heights, knots=knots, place=st.floats(0, 1))
def test_points_of_a_line_give_the_line(slope: float, knots, place: float) -> None:
    """With any number of knots."""
    x = np.cumsum([k[0] for k in knots])
    at = np.array([min(x[0] + place * (x[-1] - x[0]), x[-1])])
    scale = abs(slope) * x[-1]
    assert steffen(x, slope * x, at)[0] == pytest.approx(slope * at[0], abs=1e-6 * scale + 1e-300)


def test_the_paper_s_formula_by_hand() -> None:
    """Knots (0, 0), (1, 1), (3, 2): slopes 7/6, 5/6 and 1/6. At 0.5 the cubic is 13/24."""
    x, y = np.array([0.0, 1.0, 3.0]), np.array([0.0, 1.0, 2.0])
    # Inside: the parabola's slope (1 * 2 + 0.5 * 1) / 3 = 5/6, below 2 * min(1, 0.5) = 1.
    # Left end: 1 * (1 + 1/3) - 0.5 / 3 = 7/6. Right end: 0.5 * (1 + 2/3) - 1 * 2/3 = 1/6.
    assert steffen(x, y, np.array([0.5]))[0] == pytest.approx(0.5 + (7 / 6 - 5 / 6) / 8)
    assert steffen(x, y, np.array([2.0]))[0] == pytest.approx(1.5 + 2 * (5 / 6 - 1 / 6) / 8)
    # The parabola's slope at an end is at most twice the secant's: 2 instead of 7, then 0.
    x, y = np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, -10.0])
    assert steffen(x, y, np.array([0.5]))[0] == pytest.approx(0.5 + 2 / 8)


def test_one_point_is_only_itself() -> None:
    """Its own interactivity has its throughput; no other has any. No point has none."""
    curve = frontier_curve([50.0], [1000.0])
    found = curve.at([50.0, 49.0, 51.0])
    assert found.listed() == (1000.0, None, None)
    assert found.hints[1] == "outside of what was measured: 50 to 50 tok/s/user"
    empty = frontier_curve([None], [1000.0]).at(50.0)
    assert empty.listed() == (None,) and empty.hints == ("no point has both metrics",)


def test_equal_interactivities_give_one_knot_of_the_best() -> None:
    """The first of the best ones, so that an interpolation exists."""
    curve = frontier_curve([40.0, 20.0, 40.0, 40.0], [100.0, 900.0, 300.0, 300.0])
    assert curve.points.tolist() == [1, 2]
    assert curve.at([20.0, 30.0, 40.0]).listed() == (900.0, 600.0, 300.0)


positive = st.tuples(st.floats(1, 500), st.floats(1, 1e4))


@given(points=st.lists(positive, min_size=2, max_size=15), place=st.floats(0, 1))
def test_cost_at_an_interactivity_is_derived(points, place: float) -> None:
    """Cost times the interpolated throughput is the rate; a faster tier is never cheaper."""
    curve = frontier_curve([p[0] for p in points], [p[1] for p in points])
    low, high = curve.x.values[[0, -1]]
    at = min(low + place * (high - low), high)
    speed = curve.at(at)
    price = usd_per_million_tokens(speed, 1.8)
    assert price.values[0] * speed.values[0] * 3600 / 1e6 == pytest.approx(1.8)
    ratio = curve.faster_tier_price(low, at).values[0]
    assert ratio >= 1
    base = usd_per_million_tokens(curve.at(low), 1.8)
    assert ratio == pytest.approx(price.values[0] / base.values[0], rel=1e-9)


def test_another_metric_on_the_same_knots() -> None:
    """Output throughput at an interactivity: knots of the total's frontier, unknown ones left."""
    curve = frontier_curve([10.0, 20.0, 30.0, 25.0], [90.0, 80.0, 10.0, 5.0])
    output = curve.carrying([45.0, None, 5.0, 99.0], "tok/s/accelerator")
    assert output.points.tolist() == [0, 2]
    assert output.at(20.0).listed() == (25.0,)


def test_a_tier_outside_of_the_measured_range_has_no_price() -> None:
    """Either end; the hint has the range."""
    curve = frontier_curve([10.0, 20.0], [90.0, 80.0])
    for slow, fast in itertools.permutations((15.0, 21.0), 2):
        found = curve.faster_tier_price(slow, fast)
        assert found.listed() == (None,) and "10 to 20" in str(found.hints[0])
