"""The machine of a calibration: CPU cores, their load, and the limit of open files."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import attrs

from tokenbench.api import UsageError
from tokenbench.load.cores import Cores, WorkerCount, available_cores, split_cores

_BUSY_SAMPLE_S = 0.5
# Open files of a process besides its connections; a safe estimate.
_OTHER_FILES = 200


def chosen_cores(requested: tuple[int, ...], concurrency: int) -> tuple[Cores, WorkerCount]:
    """The cores of a calibration and how many load workers a concurrency gets.

    Args:
        requested: the server's core, then one per load worker; empty: the choice of `bench run`.
        concurrency: the largest level.

    Raises:
        UsageError: a requested core is not available.
    """
    available = available_cores()
    if wrong := [cpu for cpu in requested if cpu not in available]:
        raise UsageError(
            f"CPU core {wrong[0]} is not available",
            hint=f"available cores: {', '.join(map(str, available))}",
        )
    if not requested:
        count = WorkerCount()
        return split_cores(count, concurrency, available), count
    workers = requested[1:] or requested
    return Cores(engine=requested[:1], workers=workers), WorkerCount(fixed=len(workers))


def max_concurrency() -> int:
    """The largest concurrency that the open-file limit (RLIMIT_NOFILE) of one process allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return (hard if hard != resource.RLIM_INFINITY else 1 << 20) - _OTHER_FILES


@attrs.frozen
class CoreTimes:
    """CPU time of some cores since boot, in ticks; all 0 without /proc/stat.

    `stolen`: time in which they had work but the hypervisor ran other guests.
    """

    idle: int
    stolen: int
    total: int

    @classmethod
    def of(cls, cpus: tuple[int, ...]) -> CoreTimes:
        """The sum over `cpus`, from proc_stat(5)."""
        try:
            lines = Path("/proc/stat").read_text().splitlines()
        except OSError:
            return cls(0, 0, 0)
        names = {f"cpu{cpu}" for cpu in cpus}
        rows = [list(map(int, row[1:])) for row in map(str.split, lines) if row and row[0] in names]
        # Waiting for I/O counts as idle. Guest time, after steal, is already part of user time.
        return cls(
            idle=sum(row[3] + row[4] for row in rows),
            stolen=sum(row[7] for row in rows),
            total=sum(sum(row[:8]) for row in rows),
        )

    def stolen_share(self, later: CoreTimes) -> float | None:
        """Stolen share of the time until `later`, 0 to 1; None if unknown."""
        total = later.total - self.total
        return (later.stolen - self.stolen) / total if total > 0 else None


def busy_share(cpus: tuple[int, ...]) -> float:
    """Share of half a second in which these cores were busy, 0 to 1; 0 if unknown."""
    before = CoreTimes.of(cpus)
    time.sleep(_BUSY_SAMPLE_S)
    after = CoreTimes.of(cpus)
    total = after.total - before.total
    return max(0.0, 1.0 - (after.idle - before.idle) / total) if total > 0 else 0.0
