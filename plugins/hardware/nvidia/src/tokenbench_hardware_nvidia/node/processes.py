"""Processes that use a GPU, as this host numbers them."""

from __future__ import annotations

import os
from typing import Any

from .nvml import Nvml, Query, QueryError

# The inode of the first pid namespace (PROC_PID_INIT_INO in Linux' include/linux/proc_ns.h).
_FIRST_NAMESPACE = "pid:[4026531836]"
ELSEWHERE = "the driver's process numbers are not those of this container"


def _versions(kind: str) -> tuple[Query, ...]:
    # `_v3` since driver 510, `_v2` since 450.
    def query(suffix: str) -> Query:
        return lambda nvml, handle: nvml.ask(f"nvmlDeviceGet{kind}RunningProcesses{suffix}", handle)

    return query("_v3"), query("_v2")


_LISTS = (_versions("Compute"), _versions("Graphics"), _versions("MPSCompute"))


def pids(nvml: Nvml, handle: Any) -> list[int] | None:
    """Processes with a compute (also through MPS) or graphics context; None if they are numbered
    in another pid namespace.

    Raises:
        QueryError: the driver does not list its compute processes.
    """
    found: set[int] = set()
    for number, queries in enumerate(_LISTS):
        try:
            found.update(process.pid for process in nvml.first(handle, queries))
        except QueryError:
            if number == 0:
                raise
    return here(found)


def here(found: set[int], namespace: str | None = None) -> list[int] | None:
    """The processes of `found` that exist; None if this pid namespace is not the driver's.

    In a container's namespace, an empty list or a number without a process means that the driver
    does not translate its numbers.
    """
    alive = sorted(pid for pid in found if _exists(pid))
    if (namespace or _namespace()) == _FIRST_NAMESPACE:
        return alive
    return alive if alive and len(alive) == len(found) else None


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return "unknown"


def _exists(pid: int) -> bool:
    if os.path.exists(f"/proc/{pid}"):
        return True
    try:
        # /proc may hide processes of other users.
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
