"""Helpers of end-to-end tests."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
from processes import marked

SITE = Path(__file__).resolve().parent / "site"
SUITE = """version: 1
name: try
deployments:
  - engine: llamacpp
    model: smollm2
    topology:
      tp: 1
workloads: [random]
load:
  concurrency: [1]
  repeats: 1
"""


@attrs.frozen
class Done:
    """A finished `bench`."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> tuple[str, str]:
        """The last two lines of standard error: `error:` and `hint:`."""
        lines = self.err.strip().splitlines()
        assert len(lines) >= 2, self.err
        error, hint = lines[-2:]
        assert error.startswith("error: ") and len(error) > 15, self.err
        assert hint.startswith("hint: ") and len(hint) > 10, self.err
        assert "Traceback" not in self.err
        return error, hint


@attrs.define
class Bench:
    """Starts `bench` in a folder, with the test plugins installed. `prefix` stands before it."""

    folder: Path
    mark: str
    prefix: tuple[str, ...] = ()

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a command. The mark identifies its processes."""
        path = os.pathsep.join(filter(None, (str(SITE), os.environ.get("PYTHONPATH"))))
        return {**os.environ, "PYTHONPATH": path, "TOKENBENCH_TEST_MARK": self.mark, **more}

    def start(self, *args: str, **more: str) -> subprocess.Popen[str]:
        """Start it and return."""
        return subprocess.Popen(
            [*self.prefix, sys.executable, "-m", "tokenbench.cli.main", *args],
            cwd=self.folder,
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *args: str, timeout_s: float = 120.0, **more: str) -> Done:
        """Run it until it exits."""
        process = self.start(*args, **more)
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return Done(process.returncode, out, err)

    @property
    def run_directory(self) -> Path:
        """The only run directory."""
        (found,) = (self.folder / "runs").iterdir()
        return found

    def left_running(self) -> list[str]:
        """Command lines of processes with the mark."""
        return [" ".join(words) for words in marked(self.mark).values()]

    def all_gone(self, seconds: float = 10.0) -> bool:
        """Whether every process ends within `seconds`."""
        deadline = time.monotonic() + seconds
        while self.left_running():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


def measured(bench: Any) -> list[dict[str, Any]]:
    """The results in the run directory."""
    lines = (bench.run_directory / "results.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def wait_for(process: subprocess.Popen[str], text: str, seconds: float = 30.0) -> str:
    """Read standard error until it contains `text`; returns everything read."""
    assert process.stderr is not None
    fd = process.stderr.fileno()
    seen = b""
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        while text.encode() not in seen:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError(seen.decode())
            data = os.read(fd, 65536)
            if not data:
                raise EOFError(seen.decode())
            seen += data
    return seen.decode()
