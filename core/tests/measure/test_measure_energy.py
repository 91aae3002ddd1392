"""Energy of a window against integrals computed by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenbench.api import CheckOutcome
from tokenbench.measure.device_checks import telemetry
from tokenbench.measure.devices import Devices, longest_gap_s
from tokenbench.measure.energy import Series, integrate
from tokenbench.measure.thresholds import CertificationThresholds

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
    """A gap inside is integrated; a window outside the samples is not measured."""
    assert over(0, 10, series([0, 1, 6, 10], [10.0] * 4)).energy_j == pytest.approx(100.0)
    assert over(100, 110, series([0, 1, 2], [10.0] * 3, [0, 10, 20])).energy_j is None


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


# -- a whole trace of known energy -----------------------------------------------------------------

# Lines from (s, W) to (s, W): idle, a rise to full load, a slow fall, a pause between requests with
# a step down and one up, a step down near the end. A ripple is added, and every sample has noise.
LINES = (
    ((0.0, 90.0), (10.3, 90.0)),
    ((10.3, 90.0), (12.1, 640.0)),
    ((12.1, 640.0), (60.0, 640.0)),
    ((60.0, 640.0), (95.5, 480.0)),
    ((95.5, 310.0), (97.9, 310.0)),
    ((97.9, 480.0), (150.0, 700.0)),
    ((150.0, 700.0), (170.2, 700.0)),
    ((170.2, 520.0), (200.0, 520.0)),
)
RIPPLE_W, RIPPLE_HZ = 25.0, 0.37
NOISE_W = 3.0
START, END = 5.13, 184.71


def _power(t: float) -> float:
    (a, low), (b, high) = next(line for line in LINES if t < line[1][0])
    line = low + (high - low) * (t - a) / (b - a)
    return line + RIPPLE_W * math.sin(2 * math.pi * RIPPLE_HZ * t)


def _closed_form(start: float, end: float) -> float:
    """The integral of :func:`_power`."""
    total = 0.0
    for (a, low), (b, high) in LINES:
        since, until = max(a, start), min(b, end)
        if until > since:
            middle = low + (high - low) * ((since + until) / 2 - a) / (b - a)
            total += middle * (until - since)
    turn = 2 * math.pi * RIPPLE_HZ
    return total + RIPPLE_W / turn * (math.cos(turn * start) - math.cos(turn * end))


def _trace(seed: int, without: tuple[float, float] = (0.0, 0.0)) -> Series:
    """Four samples a second, each up to 20 ms late, from a random moment on."""
    rng = np.random.default_rng(seed)
    times = rng.uniform(0, 0.25) + 0.25 * np.arange(795) + rng.uniform(0, 0.02, 795)
    kept = [float(t) for t in times if not without[0] < t < without[1]]
    noise = rng.normal(0, NOISE_W, len(kept))
    return series(kept, [_power(t) + e for t, e in zip(kept, noise, strict=True)])


@pytest.mark.parametrize("seed", range(25))
def test_energy_of_a_trace_at_four_samples_a_second(seed: int) -> None:
    """Within 0.1 % of the closed form; the edges of the window are between samples."""
    found = over(START, END, _trace(seed))
    assert found.energy_j == pytest.approx(_closed_form(START, END), rel=1e-3)
    assert found.power_w == pytest.approx(found.energy_j / (END - START))


@given(st.floats(0.0, 0.25), st.floats(-600.0, 600.0))
def test_a_step_costs_at_most_half_an_interval(at: float, height: float) -> None:
    """The power jumps somewhere between two samples: the error is half an interval at most."""
    jump = 2.0 + at
    times = [0.25 * k for k in range(17)]
    found = over(0.0, 4.0, series(times, [600.0 + (height if t > jump else 0.0) for t in times]))
    exact = 600.0 * 4.0 + height * (4.0 - jump)
    assert abs(found.energy_j - exact) <= abs(height) * 0.125 + 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_energy_of_a_short_window_of_a_trace(seed: int) -> None:
    """5 s of steady load: within 1 %, of which noise is the most."""
    found = over(32.05, 37.05, _trace(seed))
    assert found.energy_j == pytest.approx(_closed_form(32.05, 37.05), rel=1e-2)


def test_a_gap_in_a_trace(evidence: Any, phase: Any) -> None:
    """4.2 s without samples on a ramp: reported and flagged; the integral takes the straight line,
    and is right up to a part of the ripple.
    """
    trace = _trace(7, without=(120.0, 124.2))
    found = over(START, END, trace)
    assert found.energy_j == pytest.approx(_closed_form(START, END), rel=2e-3)
    ns = [int(at) for at in trace.ns]
    gap = longest_gap_s(ns, BASE + round(START * S), BASE + round(END * S))
    assert gap == pytest.approx(4.2, abs=0.54)
    data = evidence([], phase(0.0, 1.0), devices=Devices(gaps_s={"acme": gap}))
    check = telemetry(data, CertificationThresholds())
    assert check.outcome is CheckOutcome.FLAGGED
    assert check.evidence.startswith(f"acme: no sample for {gap:.1f} s; limit 3 s")


def test_a_gap_at_an_edge_of_a_trace() -> None:
    """Up to 3 s outside the samples take the nearest one's power; beyond, the energy is unknown."""
    late = _trace(7, without=(0.0, 32.0))
    assert over(30.0, 60.0, late).energy_j == pytest.approx(_closed_form(30.0, 60.0), rel=5e-3)
    assert over(28.0, 60.0, late).energy_j is None
