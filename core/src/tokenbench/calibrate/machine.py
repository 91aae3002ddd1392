"""The machine of a calibration: which cores there are, and who else uses them."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import attrs

from tokenbench.api import UsageError

_LOOK_S = 0.5
# What a process has open beside its streams; a guess on the safe side.
_OTHER_FILES = 200


def available_cpus() -> tuple[int, ...]:
    """The cores that this process may use."""
    return tuple(sorted(os.sched_getaffinity(0)))


def chosen_cpus(asked: tuple[int, ...]) -> tuple[int, ...]:
    """The asked cores, or all.

    Raises:
        UsageError: one of them cannot be used.
    """
    available = available_cpus()
    if wrong := [cpu for cpu in asked if cpu not in available]:
        raise UsageError(
            f"core {wrong[0]} cannot be used",
            hint=f"cores that this process may use: {', '.join(map(str, available))}",
        )
    return asked or available


def most_streams() -> int:
    """As many as one process may have open."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return (hard if hard != resource.RLIM_INFINITY else 1 << 20) - _OTHER_FILES


@attrs.frozen
class CoreTimes:
    """What some cores have done since the machine started, in ticks; all 0 where nobody tells.

    `stolen`: the time in which they had work and the hypervisor ran another machine's.
    """

    idle: int
    stolen: int
    total: int

    @classmethod
    def of(cls, cpus: tuple[int, ...]) -> CoreTimes:
        """Until now, by proc_stat(5)."""
        try:
            lines = Path("/proc/stat").read_text().splitlines()
        except OSError:
            return cls(0, 0, 0)
        names = {f"cpu{cpu}" for cpu in cpus}
        rows = [list(map(int, row[1:])) for row in map(str.split, lines) if row and row[0] in names]
        # The time that waits for input and output is idle, too. What follows steal is in user time.
        return cls(
            idle=sum(row[3] + row[4] for row in rows),
            stolen=sum(row[7] for row in rows),
            total=sum(sum(row[:8]) for row in rows),
        )

    def stolen_share(self, later: CoreTimes) -> float | None:
        """Of the time until `later`, 0 to 1; None where nobody tells."""
        total = later.total - self.total
        return (later.stolen - self.stolen) / total if total > 0 else None


def busy_share(cpus: tuple[int, ...]) -> float:
    """How busy these cores are now, 0 to 1, over half a second; 0 where nobody tells."""
    before = CoreTimes.of(cpus)
    time.sleep(_LOOK_S)
    after = CoreTimes.of(cpus)
    total = after.total - before.total
    return max(0.0, 1.0 - (after.idle - before.idle) / total) if total > 0 else 0.0
