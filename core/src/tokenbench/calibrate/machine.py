"""The machine of a calibration: CPU cores, their load, and the limit of open files."""

from __future__ import annotations

import time

from tokenbench.api import MachineError, UsageError
from tokenbench.launch.cpu_time import CoreTimes
from tokenbench.launch.limits import most_files
from tokenbench.load.cores import Cores, WorkerCount, available_cores, split_cores

_BUSY_SAMPLE_S = 0.5
# Open files of a process besides its connections; a safe estimate.
_OTHER_FILES = 200


def chosen_cores(requested: tuple[int, ...], concurrency: int) -> tuple[Cores, WorkerCount]:
    """The cores of a calibration and how many load workers a concurrency gets.

    Args:
        requested: the server's core, then one per load worker; if empty, as `bench run` chooses.
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
    """The largest concurrency that the limit of open files of one process allows.

    Raises:
        MachineError: it allows none.
    """
    limit = most_files()
    if limit <= _OTHER_FILES:
        raise MachineError(
            f"a calibration needs more than {_OTHER_FILES} open files in a process; the limit is "
            f"{limit}",
            hint="raise it: ulimit -n 4096 (as root, or in the settings of the service)",
        )
    return limit - _OTHER_FILES


def busy_share(cpus: tuple[int, ...]) -> float:
    """Share of half a second in which these cores were busy, 0 to 1; 0 if unknown."""
    before = CoreTimes.of(cpus)
    time.sleep(_BUSY_SAMPLE_S)
    after = CoreTimes.of(cpus)
    total = after.total - before.total
    return max(0.0, 1.0 - (after.idle - before.idle) / total) if total > 0 else 0.0
