"""CPU time of cores and processes, from /proc: how much other programs used some cores."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
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
        # Waiting for I/O is idle time as well. The columns after steal are part of user time.
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


@attrs.frozen
class _Process:
    name: str
    parent: int
    ticks: int  # of the process and of its children that have ended


def process_name(folder: Path) -> str:
    """The short name of a process, given its folder below /proc; ``?`` if it has ended.

    A program may put any bytes there, so unprintable characters are left out.
    """
    try:
        name = (folder / "comm").read_text(errors="replace")
    except OSError:
        return "?"
    return _printable(name) or "?"


def _printable(text: str) -> str:
    return "".join(c for c in text if c.isprintable())


def _processes() -> dict[int, _Process]:
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            head, _, tail = (folder / "stat").read_text(errors="replace").rpartition(")")
        except OSError:  # It has just ended.
            continue
        fields = tail.split()
        found[int(folder.name)] = _Process(
            name=_printable(head.partition("(")[2]),
            parent=int(fields[1]),
            ticks=sum(map(int, fields[11:15])),
        )
    return found


def _with_descendants(roots: Collection[int], processes: Mapping[int, _Process]) -> set[int]:
    wanted = set(roots)
    while found := {k for k, p in processes.items() if p.parent in wanted} - wanted:
        wanted |= found
    return wanted


def outsiders(pids: Collection[int], roots: Collection[int]) -> tuple[str, ...]:
    """Names of the running `pids` that descend neither from `roots` nor from this process."""
    now = _processes()
    own = _with_descendants({os.getpid(), *roots}, now)
    return tuple(f"{now[pid].name} (pid {pid})" for pid in pids if pid in now and pid not in own)


@attrs.frozen
class Foreign:
    """Use of some cores by other programs. `share`: 0 to 1; None if unknown, and `unknown` says
    why. `busiest`: the program that used most CPU, for a message.
    """

    share: float | None
    busiest: str | None = None
    unknown: str | None = None


class ForeignLoad:
    """The share of some cores that other programs use.

    Measured from the creation of the object on.

    Args:
        cores: those of the load workers and of a local engine.
        server: processes of a server that this run did not start. They, this process and all their
            descendants are not foreign.
    """

    def __init__(self, cores: tuple[int, ...], server: Collection[int] = ()) -> None:
        self._cores = cores
        self._roots = {os.getpid(), *server}
        self._times = CoreTimes.of(cores)
        self._before = _processes()

    def measure(self) -> Foreign:
        """The share that others used since the object was created.

        Time that this run's processes spent on other cores is subtracted too, so the share is a
        lower bound. Time that the hypervisor stole is included.
        """
        times = CoreTimes.of(self._cores)
        total = times.total - self._times.total
        if total <= 0:
            return Foreign(None, unknown="the system does not report CPU time per core")
        now = _processes()
        used = {
            pid: process.ticks - self._before[pid].ticks if pid in self._before else process.ticks
            for pid, process in now.items()
        }
        own = _with_descendants(self._roots, now)
        ours = sum(used.get(pid, 0) for pid in own)
        others = {pid: ticks for pid, ticks in used.items() if pid not in own and ticks > 0}
        busiest = max(others, key=others.__getitem__, default=None)
        return Foreign(
            share=max(0.0, (times.busy - self._times.busy - ours) / total),
            busiest=None if busiest is None else f"{now[busiest].name} (pid {busiest})",
        )
