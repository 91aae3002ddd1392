"""Checks after every test that it left no process behind."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_VARIABLE = "TOKENBENCH_TEST_MARK"


def _marked(mark: bytes) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int(folder.name) != os.getpid() and mark in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[int]]]:
    """Returns the running processes of this test, found by a mark in their environment."""
    mark = f"{_VARIABLE}={uuid.uuid4()}"
    monkeypatch.setenv(*mark.split("=", 1))

    def find() -> list[int]:
        return _marked(mark.encode())

    yield find
    deadline = time.monotonic() + 5
    while (left := find()) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, "the test left processes behind"
