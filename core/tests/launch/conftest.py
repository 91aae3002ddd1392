"""Checks after every test that it left no process behind; node agents."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tokenbench.api import FrozenMap, NodeProgram
from tokenbench.launch.node.client import NodeAgent
from tokenbench.launch.node.program import RunningProgram

from .node_agents import OWNER, PROGRAM, Alone

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


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Callable[..., Alone]]:
    """Starts an agent without a supervisor."""
    made: list[Alone] = []

    def make(python: str = sys.executable) -> Alone:
        made.append(Alone(tmp_path, python))
        return made[-1]

    yield make
    for one in made:
        one.process.kill()
        one.process.wait()
        for stream in (one.process.stdin, one.process.stdout, one.process.stderr):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NodeAgent]:
    """One on this machine, through its client."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    with NodeAgent(log=tmp_path / "log") as made:
        yield made


@pytest.fixture
def program(
    agent: NodeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., RunningProgram]:
    """The program above on that agent, with options."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "acme_node.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("TOKENBENCH_PLUGIN_LIMITS_S", "device=1")

    def make(**options: Any) -> RunningProgram:
        asked = NodeProgram(module="acme_node", options=FrozenMap(options))
        return RunningProgram(agent, OWNER, asked)

    return make
