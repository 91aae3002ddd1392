"""A node program that misbehaves on demand, and an agent without a supervisor."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenbench.guard.owner import Owner
from tokenbench.launch.node import client
from tokenbench.launch.node.client import Events

AGENT = Path(client.__file__).with_name("agent.py")
OWNER = Owner("hardware", "acme", "acme-chips", "1.0")

# Its options say how the two functions, and the sampler, behave.
PROGRAM = """
from __future__ import annotations
import json, os, signal, subprocess, sys, time

def misbehave(how):
    if how == "raise": raise OSError("libacme.so: cannot open shared object file")
    if how == "exit": os._exit(7)
    if how == "exit silently": os._exit(0)
    if how == "sys.exit": sys.exit("enough")
    if how == "interrupt": raise KeyboardInterrupt
    if how == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if how == "segfault": os.kill(os.getpid(), signal.SIGSEGV)
    while how == "hang": time.sleep(60)
    while how == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try: time.sleep(60)
        except BaseException: pass
    if how == "print":
        print("noise of the plugin")
        print("more noise", file=sys.stderr)
        os.write(1, b'{"id": 1, "result": "noise past Python"}\\n')
    if how == "read input": sys.stdin.read()

def probe(options):
    misbehave(options.get("probe"))
    if "returns" in options: return eval(options["returns"])
    return {"devices": [{"index": 0, "name": "ACME", "handle": sys.version.split()[0]}]}

def sampler(options, devices):
    misbehave(options.get("sampler"))
    return None if options.get("blind") else Reader(options, devices)

class Reader:
    def __init__(self, options, devices):
        self.options, self.devices, self.count = options, devices, 0
        if options.get("helper"):
            subprocess.Popen(["sleep", "3600"], start_new_session=options["helper"] == "detached")

    def sample(self):
        self.count += 1
        if self.count > 3: misbehave(self.options.get("sample"))
        if self.count > 3 and "reading" in self.options: return eval(self.options["reading"])
        return [{"device": d, "power_w": 100.0 + self.count} for d in self.devices]

    def close(self):
        if "closed" in self.options: open(self.options["closed"], "a").write("closed\\n")
        misbehave(self.options.get("close"))
"""


class Alone:
    """The agent as a host runs it: no supervisor, nothing of tokenbench, a TMPDIR of its own."""

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.temporary = folder / "alone"
        self.temporary.mkdir()
        self.process = subprocess.Popen(
            [python, "-I", "-u", "-c", client._BOOTSTRAP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(self.temporary)},
        )
        self.lines: list[dict[str, Any]] = []
        text = AGENT.read_bytes()
        self.write(b"%d\n" % len(text) + text)

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Its reply; other messages on the way are kept in `lines`."""
        self.write(json.dumps({"id": 1, "do": what, **arguments}).encode() + b"\n")
        return self.until(lambda line: "id" in line)

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first line of this kind."""
        assert self.process.stdout is not None
        while text := self.process.stdout.readline():
            if text.strip():
                self.lines.append(json.loads(text))
                if wanted(self.lines[-1]):
                    return self.lines[-1]
        raise AssertionError(f"it ended: {self.process.stderr and self.process.stderr.read()!r}")

    def sample(self, **options: Any) -> int:
        """Start a sampler; returns its pid once it has sent a reading."""
        self.ask("program", name="acme", files={"acme_node.py": PROGRAM})
        call = {"name": "acme", "module": "acme_node", "devices": [0], "interval_s": 0.02}
        pid: int = self.ask("sample", options=options, **call)["result"]["pid"]
        self.until(lambda line: "sample" in line)
        return pid

    @property
    def folders(self) -> list[str]:
        """What is in its temporary folder."""
        return [path.name for path in self.temporary.iterdir()]

    def close_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()


class Heard:
    """What a sampler sends."""

    def __init__(self) -> None:
        self.readings: queue.Queue[dict[str, Any]] = queue.Queue()
        self.ends: queue.Queue[tuple[int | None, str | None]] = queue.Queue()
        self.events = Events(
            reading=self.readings.put, ended=lambda code, text: self.ends.put((code, text))
        )


def runs(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait(condition: Callable[[], object], limit_s: float = 5.0) -> bool:
    deadline = time.monotonic() + limit_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(condition())
