"""The points of one workload on one deployment: which loads, how long, what identifies each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs

from tokenbench.api import FixedLoadPlan, FrozenMap, LoadLevel, LoadPlan, Stop, UsageError
from tokenbench.load.arrivals import read_timestamps, timestamps_hash
from tokenbench.measure.thresholds import CertificationThresholds, thresholds_from
from tokenbench.suite.load_rules import check_load
from tokenbench.suite.schema import FindRequest, LoadRequest, PluginRef, Suite
from tokenbench.suite.slo import Objective, parse_objectives

from .canonical import identity, plain
from .search import Bisection
from .size_limits import check_arrivals, check_slots, highest_concurrency, highest_rate

DEFAULT_DURATION_S = 10.0
_OPEN_LOOP_SLOTS = 16
_SEARCH_SLOTS = 64


@attrs.frozen(kw_only=True)
class PlannedPoint:
    """One deployment x workload x load level. `id` is its identity; `canonical` what it hashes.

    `slots` is the concurrency of its warm-up: its own, or what the server is sized for.
    """

    id: str
    workload: PluginRef
    level: LoadLevel
    stop: Stop
    slots: int
    warmup_requests: int
    repeats: int
    canonical: FrozenMap[Any]


@attrs.frozen(kw_only=True)
class PlannedSeries:
    """One workload's loads on one deployment. `part` is what the identities of its points share."""

    workload: PluginRef
    load: LoadRequest
    levels: LoadPlan
    part: FrozenMap[Any]

    @property
    def points(self) -> tuple[PlannedPoint, ...]:
        """The points that are certain beforehand."""
        return tuple(self.point(level) for level in self.levels.known())

    def point(self, level: LoadLevel) -> PlannedPoint:
        """The point of a level. The stop rule counts to its identity: it decides what is averaged
        over.
        """
        load = self.load
        slots = level.concurrency or server_concurrency(load)
        stop = _stop(load, slots)
        canonical = FrozenMap(plain({**self.part, "level": level, "stop": stop}))
        return PlannedPoint(
            id=identity(canonical),
            workload=self.workload,
            level=level,
            stop=stop,
            slots=slots,
            warmup_requests=round(load.warmup_per_concurrency * slots),
            repeats=load.repeats,
            canonical=canonical,
        )


def _stop(load: LoadRequest, slots: int) -> Stop:
    requests = load.requests
    if load.requests_per_concurrency is not None:
        by_slots = max(1, round(load.requests_per_concurrency * slots))
        requests = by_slots if requests is None else min(requests, by_slots)
    duration_s = load.duration_s
    if duration_s is None and requests is None:
        duration_s = DEFAULT_DURATION_S
    least = round(load.min_requests_per_concurrency * slots) or None
    return Stop(duration_s=duration_s, requests=requests, least_requests=least)


def server_concurrency(load: LoadRequest) -> int:
    """How many sequences in flight the server is sized for."""
    if load.server_concurrency is not None:
        return load.server_concurrency
    if load.find is not None and load.find.what == "max-concurrency":
        return int(load.find.highest or _SEARCH_SLOTS)
    least = _OPEN_LOOP_SLOTS if load.rate or load.find is not None else 1
    return max(least, *load.concurrencies, 1)


def load_plan(load: LoadRequest) -> LoadPlan:
    """The levels of a load, fixed or found.

    Raises:
        UsageError: they contradict each other, or ask for more than can be meant.
    """
    check_load(load, where="load.{}".format)
    timestamps = () if load.trace is None else read_timestamps(Path(load.trace))
    trace = timestamps_hash(timestamps) if timestamps else None
    if load.find is None:
        closed = [LoadLevel(concurrency=c) for c in load.concurrencies]
        levels = (*closed, *(_open(load, rate, trace) for rate in load.rate))
        _check_size(load, levels, len(timestamps))
        return FixedLoadPlan(levels)
    search = _search(load, load.find, trace)
    ends = (value for value in (load.find.lowest, load.find.highest) if value is not None)
    _check_size(load, map(search.level, ends), len(timestamps))
    return search


def _check_size(load: LoadRequest, levels: Iterable[LoadLevel], timestamps: int) -> None:
    for level in levels:
        slots = level.concurrency or server_concurrency(load)
        check_slots(load, slots)
        check_arrivals(level, _stop(load, slots), timestamps)


def _search(load: LoadRequest, find: FindRequest, trace: str | None) -> Bisection:
    if find.what == "max-rate":
        like = _open(load, find.lowest, trace)
        stop = _stop(load, server_concurrency(load))
        ceiling = highest_rate(stop.duration_s if stop.requests is None else None)
    else:
        like = LoadLevel(concurrency=int(find.lowest))
        ceiling = highest_concurrency(load)
    return Bisection(
        like=like,
        objectives=objectives(load),
        lowest=find.lowest,
        highest=ceiling if find.highest is None else find.highest,
        tolerance=find.tolerance,
    )


def objectives(load: LoadRequest) -> tuple[Objective, ...]:
    """What the load must hold; none where nothing was asked."""
    return parse_objectives(load.slo, where="load.slo") if load.slo is not None else ()


def thresholds(suite: Suite) -> CertificationThresholds:
    """The limits of certification: the table's, changed as the suite says.

    Raises:
        UsageError: it names a limit that there is not, or a value that it cannot have.
    """
    try:
        return thresholds_from(suite.certification)
    except ValueError as error:
        raise UsageError(
            f"certification.{error}", hint="see docs/reference/suite.md for the limits"
        ) from None


def _open(load: LoadRequest, rate: float, trace: str | None) -> LoadLevel:
    arrival = load.arrival
    return LoadLevel(
        rate_per_s=rate,
        arrival=arrival,
        burstiness=load.burstiness if arrival == "gamma" else 1.0,
        ramp_from_per_s=load.ramp_from if arrival == "ramp" else None,
        trace=trace,
    )
