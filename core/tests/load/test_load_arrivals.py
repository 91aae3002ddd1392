"""Arrival processes: their properties, for every seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenbench.api import LoadLevel, Stop, UsageError
from tokenbench.load.arrivals import arrival_times, read_timestamps, timestamps_hash

LONG = Stop(duration_s=1000.0)


def _gaps(level: LoadLevel, seed: int = 1) -> np.ndarray:
    return np.diff(np.array(arrival_times(level, LONG, seed))) / 1e9


@pytest.mark.parametrize("arrival", ["constant", "poisson", "gamma", "ramp"])
@given(seed=st.integers(0, 2**63 - 1))
def test_arrivals_ascend_and_repeat(arrival: str, seed: int) -> None:
    """Ascending, within the duration, and the same for the same seed."""
    level = LoadLevel(rate_per_s=20.0, arrival=arrival, ramp_from_per_s=1.0)
    times = arrival_times(level, Stop(duration_s=5.0), seed)
    assert list(times) == sorted(times)
    assert all(0 <= t < 5e9 for t in times)
    assert times == arrival_times(level, Stop(duration_s=5.0), seed)
    if arrival != "constant":
        assert times != arrival_times(level, Stop(duration_s=5.0), seed + 1)


def test_constant_arrivals_are_evenly_spaced() -> None:
    """One every 1 / rate, the first at the start."""
    assert list(
        arrival_times(LoadLevel(rate_per_s=4.0, arrival="constant"), Stop(requests=3), 0)
    ) == [
        0,
        250_000_000,
        500_000_000,
    ]


@pytest.mark.parametrize(("arrival", "shape"), [("poisson", 1.0), ("gamma", 0.25), ("gamma", 4.0)])
def test_gaps_have_the_configured_mean_and_spread(arrival: str, shape: float) -> None:
    """Mean 1 / rate and coefficient of variation 1 / sqrt(shape), within sampling error."""
    gaps = _gaps(LoadLevel(rate_per_s=50.0, arrival=arrival, burstiness=shape))
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(shape**-0.5, rel=0.05)


def test_gaps_of_a_poisson_process_are_independent() -> None:
    """Consecutive gaps are not correlated beyond chance."""
    gaps = _gaps(LoadLevel(rate_per_s=50.0, arrival="poisson"))
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 4 / len(gaps) ** 0.5


def test_a_ramp_rises_linearly() -> None:
    """From 0 to 40 per second over 1000 s: a quarter of the arrivals in the first half."""
    level = LoadLevel(rate_per_s=40.0, arrival="ramp", ramp_from_per_s=0.0)
    times = np.array(arrival_times(level, LONG, 3))
    assert len(times) == pytest.approx(20_000, rel=0.03)
    assert np.mean(times < 500e9) == pytest.approx(0.25, abs=0.02)


def test_a_trace_is_scaled_to_the_rate(tmp_path: Path) -> None:
    """Gaps are scaled, blank lines ignored; the hash depends on the timestamps, not the file."""
    file = tmp_path / "trace.txt"
    file.write_text("100\n101\n\n104\n")
    timestamps = read_timestamps(file)
    level = LoadLevel(rate_per_s=1.0, arrival="replay")
    assert list(arrival_times(level, Stop(), 0, timestamps)) == [0, 500_000_000, 2_000_000_000]
    assert timestamps_hash(timestamps) != timestamps_hash((1.0, 2.0))


@pytest.mark.parametrize("text", ["1\n", "", "1\nx\n", "nan\n1\n"])
def test_a_bad_trace_is_refused(tmp_path: Path, text: str) -> None:
    """Too short, not a number, not finite, or missing."""
    file = tmp_path / "trace.txt"
    file.write_text(text)
    with pytest.raises(UsageError):
        read_timestamps(file)
    with pytest.raises(UsageError, match="cannot read the trace"):
        read_timestamps(tmp_path / "absent")


def test_an_open_loop_needs_an_end() -> None:
    """Without duration and number of requests, or with too many arrivals, nothing is sent."""
    level = LoadLevel(rate_per_s=1.0, arrival="poisson")
    with pytest.raises(UsageError, match="needs a duration or"):
        arrival_times(level, Stop(), 0)
    with pytest.raises(UsageError, match="arrivals in one phase"):
        arrival_times(LoadLevel(rate_per_s=1e8, arrival="constant"), LONG, 0)
    with pytest.raises(UsageError, match="needs a duration"):
        arrival_times(LoadLevel(rate_per_s=1.0, arrival="ramp"), Stop(requests=3), 0)


@pytest.mark.parametrize("arrival", ["constant", "poisson", "gamma", "ramp", "replay"])
@given(
    rate=st.floats(5e-324, 1e308),
    shape=st.floats(5e-324, 1e308),
    begin=st.floats(0, 1e308),
    stop=st.builds(Stop, duration_s=st.none() | st.floats(1e-9, 1e300), requests=st.just(50)),
)
def test_no_arrival_overflows(
    arrival: str, rate: float, shape: float, begin: float, stop: Stop
) -> None:
    """Any parameters give times that fit a 64-bit clock, or a usage error."""
    level = LoadLevel(rate_per_s=rate, arrival=arrival, burstiness=shape, ramp_from_per_s=begin)
    try:
        times = arrival_times(level, stop, 1, (0.0, 1e300, -1e308, 5.0))
    except UsageError:
        return
    assert len(times) <= 50
    assert list(times) == sorted(times)
    assert all(0 <= t <= 10**18 for t in times)


def test_too_low_rates_are_refused() -> None:
    """A gap of 2^63 nanoseconds would overflow; with a duration there would be no arrival."""
    for stop in (Stop(requests=2), Stop(duration_s=10.0)):
        with pytest.raises(UsageError, match="is too low"):
            arrival_times(LoadLevel(rate_per_s=1e-10, arrival="constant"), stop, 0)
    with pytest.raises(UsageError, match="after the start"):
        arrival_times(LoadLevel(rate_per_s=1e-8, arrival="constant"), Stop(requests=99), 0)


@pytest.mark.parametrize("shape", [5e-324, 1e-7, 1e7, 1e308])
def test_extreme_shapes_are_refused(shape: float) -> None:
    """Sampling a gap of such a shape would never end."""
    level = LoadLevel(rate_per_s=1.0, arrival="gamma", burstiness=shape)
    with pytest.raises(UsageError, match="cannot draw gaps"):
        arrival_times(level, Stop(requests=2), 0)


def test_the_number_of_requests_is_limited() -> None:
    """The schedule is refused before it fills the memory."""
    level = LoadLevel(rate_per_s=1e6, arrival="constant")
    with pytest.raises(UsageError, match="arrivals in one phase"):
        arrival_times(level, Stop(requests=10**12), 0)


def test_a_too_large_trace_is_not_read(tmp_path: Path) -> None:
    """Its size is checked first; impossible file names are reported."""
    file = tmp_path / "trace.txt"
    with file.open("wb") as out:
        out.truncate(1 << 40)
    with pytest.raises(UsageError, match="too large"):
        read_timestamps(file)
    for name in ("a" * 300, "a\0"):
        with pytest.raises(UsageError, match="cannot read the trace"):
            read_timestamps(tmp_path / name)


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 1, "arrival": "poisson"},
        {"rate_per_s": 1.0, "arrival": "weekly"},
        {"rate_per_s": 1.0, "arrival": "gamma", "burstiness": 0.0},
    ],
)
def test_a_level_is_a_closed_or_an_open_loop(wrong: dict[str, float | str]) -> None:
    """Concurrency excludes an arrival process; a rate needs a valid one."""
    with pytest.raises(ValueError, match=r"arrival|burstiness"):
        LoadLevel(**wrong)
