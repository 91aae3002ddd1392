"""A scratch folder for each process, with its temporary folder; the supervisor removes it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tokenbench.api import MachineError

from .python import module_environment

# Marks a process and its descendants, even if they outlive their supervisor.
_MARK = "TOKENBENCH_SCRATCH"
_KILL_LIMIT_S = 2.0


def new_scratch() -> Path:
    """A new scratch folder, in a folder of its own.

    Raises:
        MachineError: it cannot be created.
    """
    scratch = new_parent() / "process"
    with _guarded():
        scratch.mkdir()
    return scratch


def new_parent() -> Path:
    """A new folder for scratch folders. The supervisor of the last one removes it.

    Raises:
        MachineError: it cannot be created.
    """
    with _guarded():
        return Path(tempfile.mkdtemp(prefix="tokenbench-"))


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is removed at the end of the block.

    Raises:
        MachineError: it cannot be created.
    """
    folder = new_parent()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _guarded() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MachineError(
            f"cannot create a scratch folder: {error}",
            hint="check free disk space, or set TMPDIR to another folder",
        ) from error


def own_environment(environment: Mapping[str, str] | None, scratch: Path) -> dict[str, str]:
    """The environment of a process with this scratch folder."""
    made = module_environment(environment)
    made[_MARK] = str(scratch)
    if made.get("TMPDIR") == os.environ.get("TMPDIR"):
        folder = scratch / "tmp"
        with _guarded():
            folder.mkdir(exist_ok=True)
        made["TMPDIR"] = str(folder)
    return made


def remove(scratch: Path) -> None:
    """Remove a scratch folder, and its parent if it is empty then."""
    shutil.rmtree(scratch, ignore_errors=True)
    with contextlib.suppress(OSError):
        scratch.parent.rmdir()


def kill_all_of(scratch: Path) -> None:
    """Kill the processes that were started with this scratch folder.

    For a supervisor that was killed: its command died with it, but not the command's descendants.
    """
    mark = os.fsencode(f"{_MARK}={scratch}")
    deadline = time.monotonic() + _KILL_LIMIT_S
    while (found := _marked(mark)) and time.monotonic() < deadline:
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _marked(mark: bytes) -> list[int]:
    """Processes with the mark in their environment; empty without /proc."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found
