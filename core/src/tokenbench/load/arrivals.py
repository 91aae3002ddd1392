"""Arrival processes of an open loop: when each session begins, computed ahead, from a seed.

Times are nanoseconds from the phase's start, rising. The same arguments always give the same times,
whatever the number of workers that share them.
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

NS_PER_S = 1_000_000_000
MOST = 10_000_000
"""Arrivals of one phase; more would be a slip of the keyboard."""
LONGEST_S = 1e9
"""The latest arrival: 31 years. Nanoseconds up to there, and clocks beside them, fit in 64 bits."""
_MOST_BYTES = 32 * MOST
_EXTREME = 1e6
"""Of a shape, either way: beyond, the method that draws gaps loses its digits and never ends."""


def arrival_times(
    level: LoadLevel, stop: Stop, seed: int, timestamps: Sequence[float] = ()
) -> array[int]:
    """The arrivals of a phase.

    Args:
        stamps: of the trace that is replayed, in seconds.

    Raises:
        UsageError: neither a time nor a number of requests ends them, there are too many, or the
            times are beyond what a clock can tell.
    """
    if stop.duration_s is None and stop.requests is None and level.arrival != "replay":
        raise UsageError("an open loop needs an end", hint="set load.duration_s or load.requests")
    if _rate(level) < 1.0 / LONGEST_S:
        raise UsageError(
            f"{_rate(level):g} arrivals a second: the first would come after {LONGEST_S:g} s",
            hint="raise the rate",
        )
    limit_s = stop.duration_s if stop.duration_s is not None else float("inf")
    most = MOST + 1 if stop.requests is None else min(stop.requests, MOST + 1)
    if level.arrival == "replay":
        process = _replay(level, timestamps)
    else:
        process = _PROCESSES[level.arrival](level, stop, seed)
    found = array("q", itertools.islice(_nanoseconds(process, limit_s), most))
    if len(found) > MOST:
        raise UsageError(f"more than {MOST:,} arrivals in one phase", hint="lower the rate")
    return found


def _nanoseconds(process: Iterator[float], limit_s: float) -> Iterator[int]:
    """The times before the limit. What is no time, or too late for a clock, is refused."""
    for time_s in process:
        if time_s >= limit_s:
            return
        if not 0.0 <= time_s <= LONGEST_S:
            raise UsageError(
                f"an arrival {time_s:g} s after the start", hint="raise the rate, or end it earlier"
            )
        yield round(time_s * NS_PER_S)


def read_timestamps(file: Path) -> tuple[float, ...]:
    """Time stamps of a trace, in seconds: one a line, blank lines left out.

    Raises:
        UsageError: it cannot be read, is far too long, a line is no number, or there are fewer than
            two.
    """
    try:
        if file.exists() and not file.is_file():
            raise UsageError(f"the trace {file} is no file", hint="name a file of time stamps")
        if file.stat().st_size > _MOST_BYTES:
            raise UsageError(
                f"the trace {file} is too long", hint=f"at most {MOST:,} time stamps, one a line"
            )
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        # ValueError: bytes that are no UTF-8, or a name that no file can have.
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"cannot read the trace {file}: {reason}", hint="check it") from None
    timestamps = [
        _timestamp(line, f"{file}:{n}") for n, line in enumerate(lines, 1) if line.strip()
    ]
    if len(timestamps) < 2 or not all(math.isfinite(timestamp) for timestamp in timestamps):
        raise UsageError(
            f"{file} holds {len(timestamps)} time stamps", hint="at least two, all of them finite"
        )
    return tuple(timestamps)


def _timestamp(line: str, where: str) -> float:
    try:
        return float(line)
    except ValueError:
        raise UsageError(
            f"{where}: {line.strip()[:40]!r} is no time stamp",
            hint="a trace holds a number of seconds a line",
        ) from None


def timestamps_hash(timestamps: Sequence[float]) -> str:
    """SHA-256 of a trace's stamps: part of a point's identity."""
    return hashlib.sha256(array("d", timestamps).tobytes()).hexdigest()


def _rate(level: LoadLevel) -> float:
    assert level.rate_per_s is not None
    return level.rate_per_s


def _constant(level: LoadLevel, stop: Stop, seed: int) -> Iterator[float]:
    """One every 1 / rate."""
    gap_s = 1.0 / _rate(level)
    return (number * gap_s for number in itertools.count())


def _gamma(level: LoadLevel, stop: Stop, seed: int) -> Iterator[float]:
    """Independent gaps, gamma distributed with shape `burstiness` and mean 1 / rate.

    A shape of 1 is a Poisson process, below 1 is burstier, above 1 more regular (the coefficient of
    variation of a gap is 1 / sqrt(shape)); the meaning of vLLM's ``--burstiness``.
    """
    draw = random.Random(seed)
    shape = level.burstiness if level.arrival == "gamma" else 1.0
    mean = _rate(level) * shape
    scale_s = 1.0 / mean if mean else math.inf
    return itertools.accumulate(_gaps(draw, shape, scale_s))


def _gaps(draw: random.Random, shape: float, scale_s: float) -> Iterator[float]:
    if not 1.0 / _EXTREME <= shape <= _EXTREME or not 0.0 < scale_s < math.inf:
        raise UsageError(
            f"no gaps can be drawn with burstiness {shape:g}",
            hint="choose one between 0.001 and 1000",
        )
    while True:
        yield draw.gammavariate(shape, scale_s)


def _ramp(level: LoadLevel, stop: Stop, seed: int) -> Iterator[float]:
    """A Poisson process whose rate rises (or falls) from `ramp_from_per_s` to the level's rate over
    the phase's duration, evenly.

    Arrivals of a unit-rate process are mapped through the inverse of the expected count
    (Cinlar 1975, time change of a Poisson process).
    """
    if stop.duration_s is None:
        raise UsageError("a ramp needs a duration", hint="set load.duration_s")
    draw = random.Random(seed)
    begin, end = level.ramp_from_per_s or 0.0, _rate(level)
    slope = (end - begin) / stop.duration_s
    for count in itertools.accumulate(draw.expovariate(1.0) for _ in itertools.count()):
        # begin * t + slope * t^2 / 2 = count, solved without dividing by a slope that may be tiny.
        root = begin * begin + 2.0 * slope * count
        if root < 0:
            return
        speed = begin + root**0.5
        yield 2.0 * count / speed if speed else math.inf


def _replay(level: LoadLevel, timestamps: Sequence[float]) -> Iterator[float]:
    """The stamps of a trace, from its first, stretched so that their mean rate is the level's."""
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
