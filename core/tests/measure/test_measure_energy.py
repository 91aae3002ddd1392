"""Energy of a window against integrals computed by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenbench.measure.energy import Series, integrate, slowest_of_peers

S = 1_000_000_000
NAN = math.nan


def series(seconds: list[float], power: list[float], energy: list[float] | None = None) -> Series:
    """Samples of one device, with the large monotonic times of a real host."""
    return Series(
        host="h",
        role="server",
        device=0,
        ns=np.array([BASE + round(s * S) for s in seconds], np.int64),
        power_w=np.array(power),
        energy_j=np.array(energy if energy is not None else [NAN] * len(seconds)),
    )


BASE = 4_000_000 * S


def over(start: float, end: float, *devices: Series) -> Any:
    """The energy of a window in seconds."""
    return integrate(devices, BASE + round(start * S), BASE + round(end * S))


def test_linear_at_the_edges_by_hand() -> None:
    """Power rises from 100 W to 200 W in 2 s: its mean from 0.5 s to 1.5 s is 150 W."""
    found = over(0.5, 1.5, series([0.0, 2.0], [100.0, 200.0]))
    assert found.energy_j == pytest.approx(150.0)
    assert found.power_w == pytest.approx(150.0)
    assert found.counter_ratio is None


def test_trapezoid_between_samples_by_hand() -> None:
    """0 to 1 s: 15 J; 1 to 3 s: 40 J; in any order of the samples."""
    assert over(0, 3, series([0, 1, 3], [10, 20, 20])).energy_j == pytest.approx(55.0)
    assert over(0, 3, series([3, 0, 1], [20, 10, 20])).energy_j == pytest.approx(55.0)


def test_energy_counter() -> None:
    """With power samples it gives the ratio; without them it gives the energy."""
    both = over(0, 2, series([0, 1, 2], [10, 10, 10], [5, 16, 27]))
    assert both.energy_j == pytest.approx(20.0)
    assert both.counter_ratio == pytest.approx(1.1)
    alone = over(0.5, 1.5, series([0, 1, 2], [NAN] * 3, [5, 16, 27]))
    assert alone.energy_j == pytest.approx(11.0)
    assert alone.counter_ratio is None


def test_counter_that_ends_early_is_extrapolated() -> None:
    """The last sample is 0.5 s before the end: the rest counts at the mean power."""
    found = over(0, 2, series([0, 0.5, 1.5], [NAN] * 3, [0, 5, 15]))
    assert found.energy_j == pytest.approx(20.0)


def test_decreasing_counter_gives_none() -> None:
    """A wrapped or reset counter."""
    assert over(0, 2, series([0, 1, 2], [NAN] * 3, [100, 110, 3])).energy_j is None


def test_gaps() -> None:
    """A gap inside is integrated and reported; a window outside the samples is not measured."""
    hole = over(0, 10, series([0, 1, 6, 10], [10.0] * 4))
    assert hole.energy_j == pytest.approx(100.0)
    assert hole.longest_gap_s == pytest.approx(5.0)
    outside = over(100, 110, series([0, 1, 2], [10.0] * 3, [0, 10, 20]))
    assert outside.energy_j is None
    assert outside.longest_gap_s == pytest.approx(10.0)


def test_energy_needs_all_devices() -> None:
    """The sum over devices; None if one device is unknown, or if there is none."""
    one, silent = series([0, 2], [10, 10]), series([0, 2], [NAN, NAN])
    assert over(0, 2, one, one).energy_j == pytest.approx(40.0)
    assert over(0, 2, one, silent).energy_j is None
    assert over(0, 2).energy_j is None
    assert over(1, 1, one).power_w is None


@given(
    st.floats(0, 1000),
    st.floats(-50, 50),
    st.floats(0.0, 4.0),
    st.floats(0.1, 5.0),
    st.integers(2, 40),
)
def test_linear_power_is_integrated_exactly(
    level: float, slope: float, start: float, length: float, count: int
) -> None:
    """The trapezoidal rule is exact for linear power, at any sample times."""
    times = list(np.linspace(-0.5, 9.5, count))
    found = over(start, start + length, series(times, [level + slope * t for t in times]))
    middle = level + slope * (start + length / 2)
    assert found.energy_j == pytest.approx(middle * length, abs=1e-5)


def test_slowest_clock_of_peers() -> None:
    """0.6 GHz among devices of 1 GHz; a single device has no peers."""
    assert slowest_of_peers([1e9, 1e9, 0.6e9]) == pytest.approx(0.6)
    assert slowest_of_peers([1e9]) is None
