"""A launcher at work under the checks' eyes: started, listened to, and cleared away."""

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
"""What the kit starts has it in its environment or command line: nothing else is ever ended."""
_PROC = Path("/proc/self/environ")


@attrs.frozen(kw_only=True)
class Running:
    """A deployment under test, with the folder that its logs belong in."""

    deployment: Deployment
    allocation: Allocation
    logs: Path

    def said(self, role: str = "server", until: str = "") -> str:
        """What a role printed, once `until` is in it; the launcher's answer or the file itself."""

        def text() -> str:
            told = self.deployment.logs(role)
            files = sorted(self.logs.glob(f"{role}-*.log"))
            return told or "\n".join(file.read_text(errors="replace") for file in files)

        if not wait(lambda: until in text()):
            fail(f"{role} did not say {until!r} within {LIMIT_S:g} s, but {text()[-300:]!r}")
        return text()

    def pids(self) -> list[int]:
        """Our processes on this machine, as the launcher tells them."""
        told = [state.pid for state in self.deployment.status() if state.pid is not None]
        return [pid for pid in told if _alive(pid)]


def wait(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _alive(pid: int) -> bool:
    """Whether a process of ours runs. A number told by a launcher may be one of a container's, and
    somebody else's here: where /proc tells, only what bears our mark counts.
    """
    try:
        if not _PROC.exists():
            os.kill(pid, 0)
            return True
        # In the middle of its exec a process shows no environment.
        return wait(lambda: MARK.encode() in _told(pid), _EXEC_LIMIT_S)
    except OSError:
        return False


def _told(pid: int) -> bytes:
    """Environment and command line of a process; OSError where it is gone or a zombie."""
    proc = Path(f"/proc/{pid}")
    if (proc / "stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z":
        raise ProcessLookupError
    return (proc / "environ").read_bytes() + (proc / "cmdline").read_bytes()


def fail_if_alive(pids: list[int], what: str) -> None:
    """Wait for processes to be gone; end those that stay, and fail."""
    if not wait(lambda: not any(map(_alive, pids)), GONE_LIMIT_S):
        fail(f"{what}: {_end(pids)} of {len(pids)} processes still run")


def _end(pids: list[int]) -> int:
    """Kill those of ours that are alive; how many there were."""
    left = [pid for pid in pids if _alive(pid)]
    for pid in left if _PROC.exists() else ():
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    return len(left)


def command_lines(text: str) -> list[int]:
    """Processes of this machine with `text` in their command line, but this one."""
    if not _PROC.exists():
        skip("this machine does not tell command lines (no /proc)")
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if text.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return [pid for pid in found if pid != os.getpid()]


@contextlib.contextmanager
def launcher_of(subject: Subject, **given: Any) -> Iterator[tuple[Launcher, Path]]:
    """The launcher, with a folder for logs."""
    if subject.data.get("here", True) is False:
        skip("it cannot start processes on this machine, as its author says")
    with tempfile.TemporaryDirectory(prefix="tokenbench-") as name:
        context = attrs.evolve(LauncherContext(logs=Path(name)), **given)
        made = subject.spec.factory(subject.options, context)
        if not isinstance(made, Launcher):
            skip("launcher-factory-returns-a-launcher says why")
        yield made, Path(name)


@contextlib.contextmanager
def started(subject: Subject, plan: LaunchPlan, **given: Any) -> Iterator[Running]:
    """A running plan; whatever becomes of the check, nothing of it is left."""
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
            _end(pids)
