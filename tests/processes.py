"""The processes of a test, found by a mark in their environment."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def arguments(pid: int) -> list[str]:
    """The command line of a process; empty for one that has ended.

    Other processes of the machine may have arguments that are no UTF-8: they come as `os.fsdecode`
    gives them.

    Raises `OSError` without a process of this number.
    """
    return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")[:-1]


def marked(mark: str) -> dict[int, list[str]]:
    """Process ids and command lines of the running processes that have
    `TOKENBENCH_TEST_MARK=mark` in their environment.
    """
    entry = f"TOKENBENCH_TEST_MARK={mark}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if entry in (folder / "environ").read_bytes().split(b"\0"):
                words = arguments(int(folder.name))
                if words:
                    found[int(folder.name)] = words
    return found
