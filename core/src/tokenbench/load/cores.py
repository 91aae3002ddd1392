"""Which CPU cores the engine and the load workers get, and how many load workers a load needs."""

from __future__ import annotations

import math
import os

import attrs

from tokenbench.api import UsageError

CONCURRENCY_PER_WORKER = 1000
"""Requests in flight per load worker, unless a calibration of this machine says otherwise."""


@attrs.frozen(kw_only=True)
class WorkerCount:
    """How many load workers a load gets: `fixed` if the user set it, otherwise by concurrency."""

    fixed: int | None = None
    concurrency_per_worker: int = CONCURRENCY_PER_WORKER

    def wanted(self, concurrency: int) -> int:
        """The load workers for this many requests in flight."""
        return self.fixed or max(1, math.ceil(concurrency / self.concurrency_per_worker))


@attrs.frozen(kw_only=True)
class Cores:
    """Core numbers: one per load worker, the others for the engine.

    On a machine with one core the two are the same core.
    """

    engine: tuple[int, ...]
    workers: tuple[int, ...]

    @property
    def shared(self) -> bool:
        """Whether engine and load worker share a core."""
        return not set(self.engine).isdisjoint(self.workers)

    def load_workers(self, count: WorkerCount, concurrency: int) -> int:
        """The load workers used for this many requests in flight: at most one per worker core."""
        return min(count.wanted(concurrency), len(self.workers))


def available_cores() -> tuple[int, ...]:
    """The cores that this process may use."""
    return tuple(sorted(os.sched_getaffinity(0)))


def split_cores(
    count: WorkerCount, concurrency: int, available: tuple[int, ...] | None = None
) -> Cores:
    """The last cores for load workers, the others for the engine.

    Load workers get at most half of the cores, unless a fixed number is asked for.

    Args:
        concurrency: the largest number of requests in flight.
        available: the cores to split; by default those that this process may use.

    Raises:
        UsageError: a fixed number of load workers leaves the engine no core.
    """
    cores = available_cores() if available is None else available
    if count.fixed is not None and count.fixed > max(1, len(cores) - 1):
        raise UsageError(
            f"{count.fixed} load workers need a core each, and the engine one; "
            f"this process may use {len(cores)} cores",
            hint=f"use at most {max(1, len(cores) - 1)} load workers, or auto",
        )
    if len(cores) < 2:
        return Cores(engine=cores, workers=cores)
    most = len(cores) - 1 if count.fixed is not None else len(cores) // 2
    workers = min(count.wanted(concurrency), most)
    return Cores(engine=cores[:-workers], workers=cores[-workers:])
