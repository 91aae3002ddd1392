"""CPU time of cores and of processes, from /proc: how much of some cores others used."""

from __future__ import annotations

import os
from pathlib import Path

import attrs


@attrs.frozen
class CoreTimes:
    """CPU time of some cores since boot, in ticks; all 0 without /proc/stat.

    `stolen`: time in which a core had work but the hypervisor ran another guest.
    """

    idle: int
    stolen: int
    total: int

    @classmethod
    def of(cls, cores: tuple[int, ...]) -> CoreTimes:
        """The times until now; see proc_stat(5)."""
        try:
            lines = Path("/proc/stat").read_text().splitlines()
        except OSError:
            return cls(0, 0, 0)
        names = {f"cpu{core}" for core in cores}
        rows = [list(map(int, row[1:])) for row in map(str.split, lines) if row and row[0] in names]
        # Waiting for I/O is idle time, too. The columns after steal are part of user time.
        return cls(
            idle=sum(row[3] + row[4] for row in rows),
            stolen=sum(row[7] for row in rows),
            total=sum(sum(row[:8]) for row in rows),
        )

    def stolen_share(self, later: CoreTimes) -> float | None:
        """Stolen share of the time until `later`, 0 to 1; None if unknown."""
        total = later.total - self.total
        return (later.stolen - self.stolen) / total if total > 0 else None

    @property
    def busy(self) -> int:
        """Ticks in which the cores were not idle, time stolen by the hypervisor included."""
        return self.total - self.idle


def process_ticks(pid: int) -> dict[int, int]:
    """CPU time of a process and of all its descendants, in ticks, by process id.

    Times of children that have ended are part of their parent's.
    """
    stats = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # It has just ended.
            continue
        stats[int(folder.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    wanted, grown = {pid}, True
    while grown:
        found = {pid for pid, (parent, _) in stats.items() if parent in wanted} - wanted
        wanted |= found
        grown = bool(found)
    return {pid: stats[pid][1] for pid in wanted if pid in stats}


class ForeignLoad:
    """The share of some cores that is not used by this process and its descendants.

    Measured from the creation of the object on.

    Args:
        cores: those of the load workers and of a local engine.
    """

    def __init__(self, cores: tuple[int, ...]) -> None:
        self._cores = cores
        self._before = CoreTimes.of(cores)
        self._ours = process_ticks(os.getpid())

    def share(self) -> float | None:
        """Of the cores' time since then, 0 to 1; None if the system does not report it.

        Time that this run's processes spent on other cores is subtracted too, so this is a lower
        bound. Time that the hypervisor stole is included.
        """
        after = CoreTimes.of(self._cores)
        total = after.total - self._before.total
        if total <= 0:
            return None
        now = process_ticks(os.getpid())
        ours = sum(ticks - self._ours.get(pid, 0) for pid, ticks in now.items())
        return max(0.0, (after.busy - self._before.busy - ours) / total)
