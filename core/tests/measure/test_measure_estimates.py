"""Estimates over repeats."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenbench.measure.batch_means import half_width, relative_half_widths
from tokenbench.measure.estimates import estimate, estimates
from tokenbench.measure.student import t_quantile_975

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


def test_missing_values_are_none(turn: Any, evidence: Any, phase: Any) -> None:
    """Not zero; a repeat without the metric keeps its place in `values`."""
    repeats = [evidence([turn(0.0, [1.0])], phase(0.0, 2.0)) for _ in range(2)]
    repeats[0] = attrs.evolve(repeats[0], metrics={"a": 1.0, "b": None})
    repeats[1] = attrs.evolve(repeats[1], metrics={"a": 3.0})
    found = estimates(repeats)
    assert (found["a"].mean, found["a"].values) == (2.0, (1.0, 3.0))
    assert found["b"].mean is None and found["b"].values == (None, None)


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=9), st.floats(-1e6, 1e6))
def test_shifted_values_have_the_same_width(values: list[float], shift: float) -> None:
    """A constant added to all values changes the mean only."""
    plain, moved = estimate(values), estimate([value + shift for value in values])
    assert moved.mean == pytest.approx(plain.mean + shift, abs=1e-3)
    assert moved.half_width == pytest.approx(plain.half_width, abs=1e-3)


def _blocks(numbers: np.random.Generator, repeats: int, correlation: float) -> np.ndarray:
    """Ten blocks per repeat with mean 0, neighbours of which correlate."""
    values = numbers.normal(size=(repeats, 10))
    for k in range(1, 10):
        new = math.sqrt(1 - correlation**2) * values[:, k]
        values[:, k] = correlation * values[:, k - 1] + new
    return values


@pytest.mark.parametrize(
    ("repeats", "correlation", "least", "most"),
    [
        (1, 0.0, 0.95, 0.99),
        (2, 0.0, 0.95, 0.99),
        (1, -0.3, 0.97, 1.0),
        (1, 0.2, 0.92, 0.97),
        (2, 0.2, 0.93, 0.98),
        (1, 0.3, 0.90, 0.96),
        (2, 0.3, 0.93, 0.98),
    ],
)
def test_coverage_of_batch_means(
    repeats: int, correlation: float, least: float, most: float
) -> None:
    """Of 2000 intervals: about 97 % hold the mean with independent blocks, 92 to 95 % with mildly
    correlated ones.
    """
    numbers = np.random.default_rng(12)
    drawn = [_blocks(numbers, repeats, correlation) for _ in range(2000)]
    covered = np.mean([abs(values.mean()) <= half_width(values) for values in drawn])
    print(f"{repeats} repeats, correlation {correlation}: {covered:.1%}")
    assert least <= covered <= most


def test_two_repeats_that_differ_have_their_difference() -> None:
    """100 and 130, each known to 1 %: the half-width is 30, not the noise within them."""
    values = np.array([[100.0, 101.0] * 5, [130.0, 131.0] * 5])
    assert half_width(values) == pytest.approx(30.0)
    assert half_width(np.full((1, 10), 7.0)) == 0.0


def test_batch_means_of_a_regular_load(turn: Any, evidence: Any, phase: Any) -> None:
    """Ten requests of 1 s and ten of 1.2 s, 10 tokens each: throughput of 10 and 8.3 tok/s in the
    halves of 22 s, and rates per accelerator with the same relative width.
    """
    turns, at = [], 0.0
    for k in range(20):
        length = 1.0 if k < 10 else 1.2
        turns.append(turn(at, [at + length * (i + 1) / 10 for i in range(10)]))
        at += length
    data = evidence(turns, phase(0.0, 22.0))
    widths = relative_half_widths([data])
    expected = {"output_tok_s", "input_tok_s", "total_tok_s"}
    names = {f"{name}{per}.steady" for name in expected for per in ("", "_per_accelerator")}
    assert names <= set(widths)
    found = estimates([data])["output_tok_s.steady"]
    assert found.method == "batch means"
    assert found.mean == pytest.approx(200 / 22)
    # A little wider: the window's end lies at the end of a request.
    assert found.half_width == pytest.approx(widths["output_tok_s.steady"] * 200 / 22, rel=0.01)
    # The halves differ by 1.7 tok/s: that is no precision of 1 %, and it is one of 20 %.
    assert 0.5 < found.half_width < 2.0
    assert widths["interactivity_tok_s.p50"] == widths["tpot_s.p50"] > 0


def test_no_batch_means_with_an_empty_block(turn: Any, evidence: Any, phase: Any) -> None:
    """A block in which no request ended has no TPOT, so TPOT has no interval."""
    turns = [turn(float(k), [k + 0.3, k + 0.6]) for k in range(12) if k not in (6, 7)]
    found = estimates([evidence(turns, phase(0.0, 12.0))])
    assert found["output_tok_s.steady"].half_width is not None
    assert found["tpot_s.p50"].half_width is None
