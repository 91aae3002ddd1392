"""Arrival processes of an open loop: the start time of each session, computed in advance.

Times are nanoseconds from the start of the phase, in ascending order. They depend only on the
arguments (the seed among them), not on the number of workers.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenbench.api import LoadLevel, Stop, UsageError
from tokenbench.api.load import WORKLOAD_TIMES

NS_PER_S = 1_000_000_000
MAX_ARRIVALS = 10_000_000
"""Most arrivals of one phase; a higher number is probably a typo."""
_MAX_TIME_S = 1e9
"""Latest arrival: 31 years. In nanoseconds, its sum with any clock fits into 64 bits."""
_MAX_TRACE_BYTES = 32 * MAX_ARRIVALS
_MAX_SHAPE = 1e6
"""Limit of a gamma distribution's shape and of its inverse. Beyond it, sampling does not end."""


def arrival_times(
    level: LoadLevel, stop: Stop, seed: int, timestamps: Sequence[float] = ()
) -> array[int]:
    """The arrival times of a phase.

    Args:
        timestamps: those of the trace to replay or of the workload, in seconds.

    Raises:
        UsageError: there is neither a duration nor a number of requests, there are too many
            arrivals, or they are too late for a 64-bit clock.
    """
    limits = [count for count in (stop.requests, stop.sessions) if count is not None]
    finite = level.arrival in ("replay", WORKLOAD_TIMES)
    if stop.duration_s is None and not limits and not finite:
        raise UsageError(
            "an open loop needs a duration or a number of requests",
            hint="set load.duration_s or load.requests",
        )
    if level.speed is None and _rate(level) < 1.0 / _MAX_TIME_S:
        raise UsageError(
            f"rate {_rate(level):g}/s is too low: less than one arrival in {_MAX_TIME_S:g} s",
            hint="raise the rate",
        )
    limit_s = stop.duration_s if stop.duration_s is not None else float("inf")
    count = min([*limits, MAX_ARRIVALS + 1])
    if level.speed is not None:
        process = _accelerated(level.speed, timestamps)
    elif level.arrival == "replay":
        process = _replay(level, timestamps)
    else:
        process = _PROCESSES[level.arrival](level, stop, seed)
    times = array("q", itertools.islice(_nanoseconds(process, limit_s), count))
    if len(times) > MAX_ARRIVALS:
        raise UsageError(
            f"more than {MAX_ARRIVALS:,} arrivals in one phase",
            hint="lower the rate, or end the phase earlier",
        )
    return times


def _nanoseconds(process: Iterator[float], limit_s: float) -> Iterator[int]:
    """The times before the limit; a time that is invalid or too late for a clock is an error."""
    for time_s in process:
        if time_s >= limit_s:
            return
        if not 0.0 <= time_s <= _MAX_TIME_S:
            raise UsageError(
                f"an arrival would be {time_s:g} s after the start",
                hint="raise the rate, or end the phase earlier",
            )
        yield round(time_s * NS_PER_S)


def read_timestamps(file: Path) -> tuple[float, ...]:
    """Timestamps of a trace file, in seconds: one per line, blank lines ignored.

    Raises:
        UsageError: the file cannot be read, is too large, has a line that is not a number, or has
            fewer than two timestamps.
    """
    try:
        if file.exists() and not file.is_file():
            raise UsageError(f"the trace {file} is not a file", hint="name a file of timestamps")
        if file.stat().st_size > _MAX_TRACE_BYTES:
            raise UsageError(
                f"the trace {file} is too large",
                hint=f"at most {MAX_ARRIVALS:,} timestamps, one per line",
            )
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        # ValueError: the file is not UTF-8, or its name is impossible.
        reason = getattr(error, "strerror", None) or "not a text file"
        raise UsageError(
            f"cannot read the trace {file}: {reason}", hint="check the path and the file"
        ) from None
    timestamps = [
        _timestamp(line, f"{file}:{n}") for n, line in enumerate(lines, 1) if line.strip()
    ]
    if len(timestamps) < 2 or not all(math.isfinite(timestamp) for timestamp in timestamps):
        raise UsageError(
            f"the trace {file} has {len(timestamps)} timestamps",
            hint="at least two are needed, all finite",
        )
    return tuple(timestamps)


def _timestamp(line: str, where: str) -> float:
    try:
        return float(line)
    except ValueError:
        raise UsageError(
            f"{where}: {line.strip()[:40]!r} is not a timestamp",
            hint="each line of a trace is a number of seconds",
        ) from None


def timestamps_hash(timestamps: Sequence[float]) -> str:
    """SHA-256 of the timestamps of a trace: part of the identity of a point."""
    return hashlib.sha256(array("d", timestamps).tobytes()).hexdigest()


def _rate(level: LoadLevel) -> float:
    assert level.rate_per_s is not None
    return level.rate_per_s


def _constant(level: LoadLevel, stop: Stop, seed: int) -> Iterator[float]:
    """One arrival every 1 / rate."""
    gap_s = 1.0 / _rate(level)
    return (number * gap_s for number in itertools.count())


def _gamma(level: LoadLevel, stop: Stop, seed: int) -> Iterator[float]:
    """Independent gaps with a gamma distribution of shape `burstiness` and mean 1 / rate.

    A shape of 1 is a Poisson process, below 1 is burstier, above 1 more regular: the coefficient of
    variation of a gap is 1 / sqrt(shape). vLLM's ``--burstiness`` is the same.
    """
    draw = random.Random(seed)
    shape = level.burstiness if level.arrival == "gamma" else 1.0
    mean = _rate(level) * shape
    scale_s = 1.0 / mean if mean else math.inf
    return itertools.accumulate(_gaps(draw, shape, scale_s))


def _gaps(draw: random.Random, shape: float, scale_s: float) -> Iterator[float]:
    if not 1.0 / _MAX_SHAPE <= shape <= _MAX_SHAPE or not 0.0 < scale_s < math.inf:
        raise UsageError(
            f"cannot draw gaps with burstiness {shape:g}",
            hint="use a burstiness between 0.001 and 1000",
        )
    while True:
        yield draw.gammavariate(shape, scale_s)


def _ramp(level: LoadLevel, stop: Stop, seed: int) -> Iterator[float]:
    """A Poisson process whose rate changes linearly from `ramp_from_per_s` to the level's rate.

    Arrivals of a unit-rate process are mapped through the inverse of the expected count
    (Cinlar 1975, time change of a Poisson process).
    """
    if stop.duration_s is None:
        raise UsageError("a ramp needs a duration", hint="set load.duration_s")
    draw = random.Random(seed)
    begin, end = level.ramp_from_per_s or 0.0, _rate(level)
    slope = (end - begin) / stop.duration_s
    for count in itertools.accumulate(draw.expovariate(1.0) for _ in itertools.count()):
        # Solves begin * t + slope * t^2 / 2 = count. No division by the slope, which may be tiny.
        root = begin * begin + 2.0 * slope * count
        if root < 0:
            return
        speed = begin + root**0.5
        yield 2.0 * count / speed if speed else math.inf


def _accelerated(speed: float, timestamps: Sequence[float]) -> Iterator[float]:
    """The timestamps of the workload, relative to the first, `speed` times as fast."""
    ordered = sorted(timestamps)
    return ((timestamp - ordered[0]) / speed for timestamp in ordered)


def _replay(level: LoadLevel, timestamps: Sequence[float]) -> Iterator[float]:
    """The timestamps of a trace, relative to the first, scaled to the level's mean rate."""
    ordered = sorted(timestamps)
    if len(ordered) < 2 or ordered[0] == ordered[-1]:
        return (0.0 for _ in ordered)
    first, span = ordered[0], ordered[-1] - ordered[0]
    factor = (len(ordered) - 1) / span / _rate(level)
    return ((timestamp - first) * factor for timestamp in ordered)


_PROCESSES = {
    "constant": _constant,
    "poisson": _gamma,
    "gamma": _gamma,
    "ramp": _ramp,
}
