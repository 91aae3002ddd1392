"""The machine before a calibration: which cores there are, and who else uses them."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

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


def busy_share(cpus: tuple[int, ...]) -> float:
    """How busy these cores are now, 0 to 1, over half a second; 0 where nobody tells."""
    before = _jiffies(cpus)
    time.sleep(_LOOK_S)
    after = _jiffies(cpus)
    idle, total = (now - then for now, then in zip(after, before, strict=True))
    return max(0.0, 1.0 - idle / total) if total > 0 else 0.0


def _jiffies(cpus: tuple[int, ...]) -> tuple[int, int]:
    """Idle (with waiting for I/O), and all; proc_stat(5)."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return 0, 0
    wanted = {f"cpu{cpu}" for cpu in cpus}
    rows = [list(map(int, row[1:])) for row in map(str.split, lines) if row and row[0] in wanted]
    return sum(row[3] + row[4] for row in rows), sum(sum(row[:8]) for row in rows)
