"""The load of a suite as typed values: levels, stop rules, objectives, trace, load workers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import attrs

from tokenbench.api import FixedLoadPlan, LoadLevel, LoadPlan, Stop
from tokenbench.load.arrivals import read_timestamps, timestamps_hash
from tokenbench.load.cores import WorkerCount
from tokenbench.suite.limits import check_level, highest_concurrency, highest_rate
from tokenbench.suite.load_rules import check_contradictions
from tokenbench.suite.places import Places
from tokenbench.suite.schema import FindRequest, LoadRequest, RepeatsRequest
from tokenbench.suite.slo import Objective, parse_objectives

from .search import Bisection

DEFAULT_DURATION_S = 10.0
# Stability needs 20 s of steady state, an interval over repeats needs 3 of them.
DEFAULT_REPEATS = 3
DEFAULT_GENERATIONS = 3
_OPEN_LOOP_CONCURRENCY = 16
_SEARCH_CONCURRENCY = 64


@attrs.frozen(kw_only=True)
class ResolvedLoad:
    """A load, parsed and checked.

    `timestamps`: of the trace that is replayed, in seconds; empty where there is none.
    `server_concurrency`: the number of sequences in flight that the server is sized for.
    """

    request: LoadRequest
    levels: LoadPlan
    objectives: tuple[Objective, ...]
    timestamps: tuple[float, ...]
    server_concurrency: int

    def concurrency(self, level: LoadLevel) -> int:
        """Requests in flight at a level; for an open loop, what the server is sized for."""
        return level.concurrency or self.server_concurrency

    def stop(self, level: LoadLevel) -> Stop:
        """When a repeat at this level stops sending."""
        return _stop(self.request, self.concurrency(level), whole=level.speed is not None)

    @property
    def repeats(self) -> RepeatsRequest:
        """How often a point is measured: as asked. By default once if the user chose the length of
        a repeat or searches; otherwise often enough that every check has enough data.
        """
        load = self.request
        if load.repeats is not None:
            return load.repeats
        if _has_length(load) or load.find is not None:
            return RepeatsRequest()
        return RepeatsRequest(at_least=DEFAULT_REPEATS, at_most=DEFAULT_REPEATS)

    def workers(self, concurrency_per_worker: int) -> WorkerCount:
        """The number of load workers: the user's, else from the concurrency that each can drive."""
        workers = self.request.workers
        fixed = workers if isinstance(workers, int) else None
        return WorkerCount(fixed=fixed, concurrency_per_worker=concurrency_per_worker)


def resolve_load(load: LoadRequest, places: Places) -> ResolvedLoad:
    """Parse and check a load.

    Raises:
        UsageError: its keys contradict each other, exceed a limit, or name a trace that cannot be
            read.
    """
    slo = load.slo
    objectives = () if slo is None else parse_objectives(slo, where=places("load.slo"))
    check_contradictions(load, places)
    timestamps: tuple[float, ...] = ()
    if load.trace is not None:
        with places.told("load.trace"):
            timestamps = read_timestamps(Path(load.trace))
    trace = timestamps_hash(timestamps) if timestamps else None
    levels: LoadPlan
    ends: Iterable[LoadLevel]
    if load.find is None:
        closed = [LoadLevel(concurrency=concurrency) for concurrency in load.concurrencies]
        fast = [LoadLevel(speed=speed) for speed in load.speed]
        fixed = (*closed, *(_open(load, rate, trace) for rate in load.rate), *fast)
        levels, ends = FixedLoadPlan(fixed), fixed
    else:
        search = _search(load, load.find, objectives, trace)
        levels = search
        ends = (search.level(end) for end in (load.find.lowest, load.find.highest) if end)
    found = ResolvedLoad(
        request=load,
        levels=levels,
        objectives=objectives,
        timestamps=timestamps,
        server_concurrency=_server_concurrency(load),
    )
    for level in ends:
        stop, concurrency = found.stop(level), found.concurrency(level)
        check_level(load, level, stop, concurrency, len(timestamps), places)
    return found


def _has_length(load: LoadRequest) -> bool:
    """Whether the user chose when a repeat ends."""
    ends = (load.duration_s, load.requests, load.requests_per_concurrency, load.sessions)
    return any(end is not None for end in ends)


def _stop(load: LoadRequest, concurrency: int, *, whole: bool = False) -> Stop:
    """When a repeat ends. `whole`: without any limit, at the end of the data."""
    requests = load.requests
    if load.requests_per_concurrency is not None:
        scaled = max(1, round(load.requests_per_concurrency * concurrency))
        requests = scaled if requests is None else min(requests, scaled)
    duration_s, least = load.duration_s, round(load.min_requests_per_concurrency * concurrency)
    if not _has_length(load) and not whole:
        duration_s = DEFAULT_DURATION_S
        if not least and not load.rate and not load.speed and load.find is None:
            # The first requests fill the server; each generation after them replaces all of them.
            least = (1 + DEFAULT_GENERATIONS) * concurrency
    return Stop(
        duration_s=duration_s,
        requests=requests,
        min_requests=least or None,
        sessions=load.sessions,
    )


def _server_concurrency(load: LoadRequest) -> int:
    if load.server_concurrency is not None:
        return load.server_concurrency
    if load.find is not None and load.find.what == "max-concurrency":
        return int(load.find.highest or _SEARCH_CONCURRENCY)
    open_loop = load.rate or load.speed or load.find is not None
    least = _OPEN_LOOP_CONCURRENCY if open_loop else 1
    return max(least, *load.concurrencies, 1)


def _open(load: LoadRequest, rate: float, trace: str | None) -> LoadLevel:
    arrival = load.arrival
    return LoadLevel(
        rate_per_s=rate,
        arrival=arrival,
        burstiness=load.burstiness if arrival == "gamma" else 1.0,
        ramp_from_per_s=load.ramp_from if arrival == "ramp" else None,
        trace=trace,
    )


def _search(
    load: LoadRequest, find: FindRequest, objectives: tuple[Objective, ...], trace: str | None
) -> Bisection:
    if find.what == "max-rate":
        like = _open(load, find.lowest, trace)
        stop = _stop(load, _server_concurrency(load))
        ceiling = highest_rate(stop.duration_s if stop.requests is None else None)
    else:
        like = LoadLevel(concurrency=int(find.lowest))
        ceiling = highest_concurrency(load)
    return Bisection(
        like=like,
        objectives=objectives,
        lowest=find.lowest,
        highest=ceiling if find.highest is None else find.highest,
        tolerance=find.tolerance,
    )
