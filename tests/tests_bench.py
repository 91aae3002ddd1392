"""Helpers of end-to-end tests."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from pathlib import Path
from typing import Any

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
