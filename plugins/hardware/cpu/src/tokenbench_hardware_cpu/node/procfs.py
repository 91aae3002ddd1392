"""Facts of the host in /proc (proc(5))."""

from __future__ import annotations

import platform
from pathlib import Path


def ticks(proc: Path) -> tuple[int, int]:
    """Busy and total clock ticks of all cores since boot.

    From the first line of /proc/stat. Idle and iowait are not busy, steal is. Guest time is part of
    user time and not counted twice.

    Raises:
        OSError, ValueError, IndexError: the file does not exist or has another format.
    """
    with (proc / "stat").open() as file:
        fields = [int(text) for text in file.readline().split()[1:9]]
    idle = fields[3] + fields[4]
    return sum(fields) - idle, sum(fields)


def memory_bytes(proc: Path) -> tuple[int | None, int | None]:
    """Total memory, and memory in use (not available to a new process). None if unknown."""
    known = _fields(proc / "meminfo", {"MemTotal", "MemAvailable"})
    total, free = (_kib(known.get(name)) for name in ("MemTotal", "MemAvailable"))
    return total, None if total is None or free is None else total - free


def model(proc: Path) -> str:
    """The CPU's name; on Arm, where /proc has none, its implementer and part numbers."""
    known = _fields(proc / "cpuinfo", {"model name", "CPU implementer", "CPU part"})
    if "model name" in known:
        return " ".join(known["model name"].split())
    parts = [
        f"{name[4:]} {known[name]}" for name in ("CPU implementer", "CPU part") if name in known
    ]
    return " ".join([platform.machine() or "unknown CPU", *parts])


def kernel(proc: Path) -> str | None:
    """The kernel's release; None if unknown."""
    try:
        return (proc / "sys/kernel/osrelease").read_text().strip()
    except OSError:
        return None


def _fields(file: Path, names: set[str]) -> dict[str, str]:
    """The first value of each name in a file of ``name: value`` lines."""
    found: dict[str, str] = {}
    try:
        with file.open(errors="replace") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() in names:
                    found.setdefault(name.strip(), value.strip())
                if len(found) == len(names):
                    break
    except OSError:
        pass
    return found


def _kib(text: str | None) -> int | None:
    return int(text.split()[0]) * 1024 if text else None
