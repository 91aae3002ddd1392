"""Runs a launcher under test: starts a plan, reads its output, and cleans up."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs

from tokenbench.api import (
    Allocation,
    Deployment,
    Launcher,
    LauncherContext,
    LaunchPlan,
    Resources,
)
from tokenbench.testing.kit import Subject, fail, skip

LIMIT_S = 10.0
GONE_LIMIT_S = 2.0
_EXEC_LIMIT_S = 0.1
MARK = "tokenbench-kit-"
"""In the environment or command line of every process the kit starts. Only those are killed."""
_PROC = Path("/proc/self/environ")


@attrs.frozen(kw_only=True)
class Running:
    """A deployment under test, with the folder for its logs."""

    deployment: Deployment
    allocation: Allocation
    logs: Path

    def output(self, role: str = "server", until: str = "") -> str:
        """The output of a role once it contains `until`, from the launcher or from the log file."""

        def text() -> str:
            logs = self.deployment.logs(role)
            files = sorted(self.logs.glob(f"{role}-*.log"))
            return logs or "\n".join(file.read_text(errors="replace") for file in files)

        if not wait(lambda: until in text()):
            fail(f"{role} did not print {until!r} within {LIMIT_S:g} s, but {text()[-300:]!r}")
        return text()

    def pids(self) -> list[int]:
        """The kit's own processes on this machine that the launcher reports."""
        reported = [state.pid for state in self.deployment.status() if state.pid is not None]
        return [pid for pid in reported if _alive(pid)]


def wait(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> bool:
    """Whether a condition becomes true in time."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _alive(pid: int) -> bool:
    """Whether a process of the kit runs. A launcher may report the pid of another container, so
    with /proc only processes with the kit's mark count.
    """
    try:
        if not _PROC.exists():
            os.kill(pid, 0)
            return True
        # During exec a process has an empty environment.
        return wait(lambda: MARK.encode() in _proc_text(pid), _EXEC_LIMIT_S)
    except OSError:
        return False


def _proc_text(pid: int) -> bytes:
    """Environment and command line of a process. OSError if it has ended or is a zombie."""
    proc = Path(f"/proc/{pid}")
    if (proc / "stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z":
        raise ProcessLookupError
    return (proc / "environ").read_bytes() + (proc / "cmdline").read_bytes()


def fail_if_alive(pids: list[int], what: str) -> None:
    """Wait for processes to end. Kill those that do not, and fail."""
    if not wait(lambda: not any(map(_alive, pids)), GONE_LIMIT_S):
        fail(f"{what}: {_kill(pids)} of {len(pids)} processes still run")


def _kill(pids: list[int]) -> int:
    """Kill the kit's processes that are alive, and return their number."""
    left = [pid for pid in pids if _alive(pid)]
    for pid in left if _PROC.exists() else ():
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    return len(left)


def command_lines(text: str) -> list[int]:
    """Processes of this machine with `text` in their command line, without this one."""
    if not _PROC.exists():
        skip("command lines cannot be read (no /proc)")
    # A process that has just been started has no command line during exec.
    time.sleep(_EXEC_LIMIT_S)
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if text.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return [pid for pid in found if pid != os.getpid()]


@contextlib.contextmanager
def launcher_of(subject: Subject, **given: Any) -> Iterator[tuple[Launcher, Path]]:
    """The launcher under test, with a folder for logs."""
    if subject.data.get("here", True) is False:
        skip("its author set here=False: it cannot start processes on this machine")
    with tempfile.TemporaryDirectory(prefix="tokenbench-") as name:
        context = attrs.evolve(LauncherContext(logs=Path(name)), **given)
        made = subject.spec.factory(subject.options, context)
        if not isinstance(made, Launcher):
            skip("see launcher-factory-returns-a-launcher")
        yield made, Path(name)


@contextlib.contextmanager
def started(subject: Subject, plan: LaunchPlan, **given: Any) -> Iterator[Running]:
    """A running plan. Its processes are ended at the end of the block."""
    with launcher_of(subject, **given) as (launcher, logs):
        marked = tuple(
            attrs.evolve(process, environment={**process.environment, "TOKENBENCH_KIT": MARK})
            for process in plan.processes
        )
        allocation = launcher.allocate(Resources(processes=marked))
        deployment = launcher.start(attrs.evolve(plan, processes=marked), allocation)
        running = Running(deployment=deployment, allocation=allocation, logs=logs)
        pids = running.pids()
        try:
            yield running
        finally:
            with contextlib.suppress(Exception):
                deployment.cancel()
            _kill(pids)
