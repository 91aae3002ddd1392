"""The points of one workload on one deployment: their loads, their lengths, their identities."""

from __future__ import annotations

from typing import Any

import attrs

from tokenbench.api import FrozenMap, LoadLevel, Stop
from tokenbench.load.cores import Cores, WorkerCount
from tokenbench.suite.schema import LoadRequest, PluginRef, RepeatsRequest

from .canonical import identity, plain
from .load import ResolvedLoad


@attrs.frozen(kw_only=True)
class PlannedPoint:
    """One deployment x workload x load level. `id` hashes `canonical`.

    `concurrency`: requests in flight in its warm-up; for a closed loop, in its repeats too.
    `load_workers`: processes that send the load; fewer than `load_workers_wanted` if there are too
    few cores.
    """

    id: str
    workload: PluginRef
    level: LoadLevel
    stop: Stop
    concurrency: int
    warmup_requests: int
    repeats: RepeatsRequest
    load_workers: int
    load_workers_wanted: int
    canonical: FrozenMap[Any]


@attrs.frozen(kw_only=True)
class PlannedSeries:
    """One workload's load levels on one deployment. `part`: what its points' identities share.

    `name`: the workload's, numbered if the deployment has several series of that name. `unit`: what
    load levels count.
    """

    name: str
    workload: PluginRef
    load: ResolvedLoad
    part: FrozenMap[Any]
    cores: Cores
    workers: WorkerCount
    unit: str = "request"

    @property
    def points(self) -> tuple[PlannedPoint, ...]:
        """The points known beforehand."""
        return tuple(self.point(level) for level in self.load.levels.known())

    def point(self, level: LoadLevel) -> PlannedPoint:
        """The point of a level. The stop rule is part of its identity: it sets what is averaged."""
        load, level = self.load, attrs.evolve(level, unit=self.unit)
        concurrency, stop = load.concurrency(level), load.stop(level)
        canonical = FrozenMap(
            plain({**self.part, "level": level, "stop": stop, "cache": _cache(load.request)})
        )
        return PlannedPoint(
            id=identity(canonical),
            workload=self.workload,
            level=level,
            stop=stop,
            concurrency=concurrency,
            warmup_requests=round(load.request.warmup_per_concurrency * concurrency),
            repeats=load.repeats,
            load_workers=self.cores.load_workers(self.workers, concurrency),
            load_workers_wanted=self.workers.wanted(concurrency),
            canonical=canonical,
        )


def _cache(load: LoadRequest) -> dict[str, bool]:
    """How sessions and the prefix cache begin: it changes what is measured."""
    return {"primed": load.prime_cache, "begin_inside": load.begin_inside}
