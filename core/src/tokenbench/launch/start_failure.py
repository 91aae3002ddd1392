"""Why a process could not be started, from the status that its supervisor reports."""

from __future__ import annotations

import errno
from pathlib import Path

from tokenbench.api import BenchError, EngineError, MachineError


def start_error(
    program: str,
    status: str,
    *,
    cpus: tuple[int, ...] | None = None,
    where: str = "",
    here: bool = True,
) -> BenchError:
    """The error for a status ``ERRNO STAGE TEXT`` of the supervisor.

    Args:
        cpus: the cores that it was to run on.
        where: the host, if the message must name it.
        here: whether the program was to run on this machine.
    """
    number, stage, text = [*status.split(" ", 2), "", "", ""][:3]
    on = f" on {where}" if where else ""
    if stage == "cpus":
        return MachineError(
            f"cannot run on the CPU cores {cpus}{on}: {text}",
            hint="use cores that this process may run on (taskset -p $$)",
        )
    if number == str(errno.ENOENT) and not (here and "/" in program and Path(program).exists()):
        return EngineError(
            f"the command {program!r} does not exist{on}", hint="install it, or check PATH"
        )
    if number == str(errno.ENOENT):
        text = "the interpreter named in its first line does not exist"
    return EngineError(
        f"cannot execute {program!r}{on}: {text or 'the supervisor did not respond'}",
        hint="check the file and its permissions",
    )
