"""`neuron-monitor`, a program that prints one JSON report a second, as a long-running child.

Source: AWS Neuron documentation, "Neuron Monitor User Guide" (read 2026-11): the configuration
file, and one complete JSON object a line.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any

from .host import ending, last_line

CONFIGURATION = {
    "period": "1s",
    "neuron_runtimes": [
        {
            "tag_filter": ".*",
            "metrics": [{"type": "neuroncore_counters"}, {"type": "memory_used"}],
        }
    ],
    "system_metrics": [{"type": "neuron_hw_counters"}, {"type": "memory_info"}],
}
FRESH_S = 3.0
"""A report older than this is not used."""
SILENT_S = 10.0
"""The program is killed after this time without a report."""
STARTS = 4
"""Maximum number of starts in a row."""
GOOD_S = 30.0
"""An end after this time of work does not count."""
_LONGEST = 1 << 24


class Monitor:
    """Runs the program, and again if it ends. `problem`: why there are no reports, once it is
    given up.
    """

    def __init__(self, program: str, *, silent_s: float = SILENT_S) -> None:
        self.problem: str | None = None
        self.starts = 0
        self._program = program
        self._silent_s = silent_s
        self._newest: tuple[float, dict[str, Any]] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._ready = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        descriptor, path = tempfile.mkstemp(prefix="bench-neuron-", suffix=".json")
        self._configuration = Path(path)
        with os.fdopen(descriptor, "w") as file:
            json.dump(CONFIGURATION, file)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def newest(self) -> dict[str, Any] | None:
        """The newest report; None if there is none or it is old."""
        newest = self._newest
        if newest is None or time.monotonic() - newest[0] > FRESH_S:
            return None
        return newest[1]

    def wait(self, limit_s: float) -> None:
        """Until the first report, or its first end."""
        self._ready.wait(limit_s)

    def close(self) -> None:
        """End the program. May be called twice."""
        with self._lock:
            self._closing.set()
            if self._child is not None:
                self._child.terminate()
        self._thread.join(2.0)
        with contextlib.suppress(OSError):
            self._configuration.unlink()

    def _work(self) -> None:
        left = STARTS
        while left and not self._closing.is_set():
            left -= 1
            began = time.monotonic()
            why = self._once()
            self._ready.set()
            if self._newest is not None and self._newest[0] - began > GOOD_S:
                left = STARTS
            self._closing.wait(min(2.0, 0.25 * 2 ** (STARTS - left)) if left else 0)
        if not self._closing.is_set():
            self.problem = f"{why} ({self.starts} starts)"
            # Samples have no field for this; what a sampler prints goes to its log.
            sys.stderr.write(f"no readings from neuron-monitor: {self.problem}\n")

    def _once(self) -> str:
        """Start the program and read until it ends. Returns why it ended."""
        with tempfile.TemporaryFile() as errors:
            with self._lock:
                if self._closing.is_set():
                    return "closed"
                self.starts += 1
                try:
                    self._child = child = subprocess.Popen(
                        [self._program, "-c", str(self._configuration)],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=errors,
                    )
                except OSError as error:
                    return f"neuron-monitor cannot be started: {error.strerror}"
            if child.stdout is None:  # It is a pipe.
                return "no output"
            with child.stdout as output:
                hung = self._read(output)
            _end(child)
            errors.seek(0, os.SEEK_END)
            errors.seek(max(0, errors.tell() - 4096))
            said = last_line(errors.read())
        why = f"neuron-monitor {hung or 'ended with ' + ending(child.returncode)}"
        return f"{why}: {said}" if said else why

    def _read(self, output: IO[bytes]) -> str | None:
        """Read reports until its output ends. Returns what is wrong if it hangs."""
        left, heard = b"", time.monotonic()
        while not self._closing.is_set():
            if time.monotonic() - heard > self._silent_s:
                return f"printed no report for {self._silent_s:g} s"
            if not select.select([output], [], [], 0.25)[0]:
                continue
            data = os.read(output.fileno(), 1 << 16)
            if not data:
                return None
            *lines, left = (left + data).split(b"\n")
            if len(left) > _LONGEST:
                return "printed a line without end"
            for line in lines:
                if self._take(line):
                    heard = time.monotonic()
        return None

    def _take(self, line: bytes) -> bool:
        """Keep a report. Anything else is no report."""
        try:
            report = json.loads(line.decode(errors="replace"))
        except ValueError:
            return False
        if not isinstance(report, dict) or "neuron_runtime_data" not in report:
            return False
        self._newest = (time.monotonic(), report)
        self._ready.set()
        return True


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a process and wait for it."""
    child.terminate()
    try:
        child.wait(1.0)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
