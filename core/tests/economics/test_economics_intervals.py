"""First-order intervals against simulated repeats: they cover the truth as often as they say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tokenbench.economics import cost, power
from tokenbench.economics.column import Column, from_estimates, measured
from tokenbench.economics.curve import frontier_curve
from tokenbench.measure.estimates import estimate

POINTS = 4000
TRUTH = 1000.0


@pytest.fixture(scope="module")
def throughput() -> Column:
    """The same deployment measured 4,000 times, each in 5 repeats with 3 % noise."""
    noise = np.random.default_rng(17).normal(TRUTH, 0.03 * TRUTH, (POINTS, 5))
    return from_estimates([estimate(row.tolist()) for row in noise], cost.PER_ACCELERATOR)


def _revenue(speed: Column | float) -> Column:
    return cost.revenue_per_hour(
        speed, input_share=0.8, hit_share=0.0, input_price=0.5, output_price=2.0
    )


DERIVED: dict[str, Callable[[Column | float], Column]] = {
    "cost": lambda speed: cost.usd_per_million_tokens(speed, 1.8),
    "revenue": _revenue,
    "blended margin": lambda speed: cost.blended_margin(1.8, _revenue(speed)),
    "side margin": lambda speed: cost.side_margin(cost.usd_per_million_tokens(speed, 1.8), 2.0),
    "per month": lambda speed: cost.per_month(_revenue(speed), 8),
    "tok/s/MW": lambda speed: power.tok_s_per_mw(speed, 1710.0),
    "J/tok": lambda speed: power.provisioned_j_per_token(speed, 1710.0),
}


@pytest.mark.parametrize("name", DERIVED)
def test_intervals_of_derived_numbers_cover_the_truth(name: str, throughput: Column) -> None:
    """95 % of them, within what 4,000 trials and the first order allow."""
    (truth,) = DERIVED[name](TRUTH).values
    found = DERIVED[name](throughput)
    covered = np.abs(found.values - truth) <= found.half_widths
    assert 0.94 <= covered.mean() <= 0.96


X, Y = np.array([20.0, 40.0, 70.0, 110.0]), np.array([4000.0, 3000.0, 1500.0, 400.0])
TRIALS, REPEATS = 600, 8


def _curves(together: bool) -> list:
    """Frontiers whose points have 2 % noise, in interactivity and throughput together or apart."""
    rng = np.random.default_rng(4)
    made = []
    for _ in range(TRIALS):
        x_noise = 1 + 0.02 * rng.standard_normal((len(X), REPEATS))
        y_noise = x_noise if together else 1 + 0.02 * rng.standard_normal((len(X), REPEATS))
        x = from_estimates([estimate(r) for r in (X[:, None] * x_noise).tolist()], "tok/s/user")
        y = from_estimates([estimate(r) for r in (Y[:, None] * y_noise).tolist()], "tok/s")
        made.append(frontier_curve(x, y))
    return made


@pytest.mark.parametrize(("together", "most"), [(True, 0.99), (False, 1.0)])
def test_intervals_of_interpolated_values_cover_the_truth(together: bool, most: float) -> None:
    """A slow repeat lowers both coordinates: then about 95 %. Where they vary apart, more."""
    curves, exact = _curves(together), frontier_curve(X, Y)
    for read in (
        lambda curve: curve.at([30.0, 55.0, 90.0]),
        lambda curve: cost.usd_per_million_tokens(curve.at([30.0, 55.0, 90.0]), 1.8),
        lambda curve: curve.faster_tier_price([30.0, 30.0, 50.0], [55.0, 90.0, 60.0]),
    ):
        truth = read(exact).values
        found = [read(curve) for curve in curves]
        errors = np.abs(np.array([column.values for column in found]) - truth)
        covered = (errors <= np.array([column.half_widths for column in found])).mean(axis=0)
        assert (covered >= 0.93).all() and (covered <= most).all(), covered


def test_widths_by_hand() -> None:
    """5 % of a throughput are 5 % of its reciprocals; exact at a knot with an exact x."""
    speed = measured(1000.0, cost.PER_ACCELERATOR, 50.0)
    found = cost.usd_per_million_tokens(speed, 1.8)
    assert found.listed_half_widths() == (pytest.approx(0.025),)
    curve = frontier_curve(measured([10.0, 20.0], "x", 0.0), measured([100.0, 50.0], "y", [4, 3]))
    widths = curve.at([10.0, 15.0, 20.0]).half_widths
    assert widths.tolist() == pytest.approx([4.0, 2.5, 3.0], rel=1e-6)


def test_a_point_without_an_interval_has_results_without() -> None:
    """A number remains a number; its width is unknown, not 0."""
    found = cost.usd_per_million_tokens(measured([1000.0, 1000.0], "", [50.0, None]), 1.8)
    assert found.listed() == (0.5, 0.5)
    assert found.listed_half_widths() == (pytest.approx(0.025), None)
    x, y = measured([10.0, 20.0, 30.0], "x", 0.0), measured([9.0, 5.0, 1.0], "y", [0.1, 0.1, None])
    at = frontier_curve(x, y).at([10.0, 25.0])
    assert at.listed_half_widths()[1] is None
