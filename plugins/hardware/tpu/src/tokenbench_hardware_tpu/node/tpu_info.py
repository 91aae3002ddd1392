"""The program `tpu-info`, which asks libtpu in the process that uses the TPU (gRPC, port 8431).

It prints tables only. Sources, read 2026-11: its README and `cli_helper.py`, versions 0.2.0 and
0.14.2. One run takes more than a second, so it runs in a thread, again and again.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time

# 0.2.0 knows no --metric; without it, newer versions ask for much more.
_COMMANDS: tuple[tuple[str, ...], ...] = (
    ("--metric", "hbm_usage", "--metric", "duty_cycle_percent"),
    (),
)
_GIB = 1 << 30
FRESH_S = 3.0
"""Maximum age of a reading, plus the time of its run."""
PAUSE_S = 2.0
"""Pause between two runs, because a run takes more than a second of a core."""
TIMEOUT_S = 10.0
_FAILURES = 3
_LONG_PAUSE_S = 10.0


class Readings:
    """What it printed, row by row: bytes in use and fractions of time; None for "N/A"."""

    def __init__(self, printed: str) -> None:
        self.memory: list[int | None] = []
        self.duty: list[float | None] = []
        heads: list[str] = []
        for line in printed.splitlines():
            cells = [cell.strip() for cell in re.split("[│┃|]", line)[1:-1]]
            if len(cells) < 2 or not cells[0].strip("-"):
                continue
            if not cells[0].isdecimal():
                heads = [cell.lower() for cell in cells]
                continue
            for head, cell in zip(heads, cells):
                if head.startswith(("hbm usage", "memory usage")):
                    self.memory.append(_gib(cell))
                elif head.startswith("duty cycle"):
                    self.duty.append(_percent(cell))

    def memory_of(self, chip: int, chips: int) -> int | None:
        """Bytes in use on a chip: its cores have a row each."""
        values = _of(self.memory, chip, chips)
        return None if values is None else int(sum(values))

    def duty_of(self, chip: int, chips: int) -> float | None:
        """The fraction of the time that a chip worked: one row, or one for each core."""
        values = _of(self.duty, chip, chips)
        return None if values is None else min(1.0, sum(values) / len(values))


def _of(rows: list[int | None] | list[float | None], chip: int, chips: int) -> list[float] | None:
    """A chip's rows. Rows are in the order of chips; their numbers are those of the slice.

    None if rows are missing: a process that uses some of the chips reports only those.
    """
    if not rows or len(rows) % chips:
        return None
    each = len(rows) // chips
    values = [value for value in rows[chip * each : (chip + 1) * each] if value is not None]
    return values if len(values) == each else None


def _gib(cell: str) -> int | None:
    match = re.match(r"(\d+(?:\.\d+)?) GiB", cell)
    return int(float(match.group(1)) * _GIB) if match else None


def _percent(cell: str) -> float | None:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)%", cell)
    return float(match.group(1)) / 100 if match else None


class TpuInfo:
    """Runs the program. `problem`: why the last run failed."""

    def __init__(self, program: str) -> None:
        self.problem: str | None = None
        self.runs = 0
        self._program = program
        self._newest: tuple[float, float, Readings] | None = None
        self._command = 0
        self._ready = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def newest(self) -> Readings | None:
        """The newest readings; None if there are none or they are old."""
        newest = self._newest
        if newest is None:
            return None
        at, took, readings = newest
        return readings if time.monotonic() - at <= FRESH_S + took else None

    def wait(self, limit_s: float) -> None:
        """Until the first run has ended."""
        self._ready.wait(limit_s)

    def close(self) -> None:
        """End it. May be called twice."""
        with self._lock:
            self._closing.set()
            if self._child is not None:
                self._child.kill()
        self._thread.join(2.0)

    def _work(self) -> None:
        failures = 0
        while not self._closing.is_set():
            began = time.monotonic()
            printed = self._run()
            if printed is None:
                failures += 1
                if failures == _FAILURES:
                    # Samples have no field for this; what a sampler prints goes to its log.
                    sys.stderr.write(f"no readings from tpu-info: {self.problem}\n")
                self._command = (self._command + 1) % len(_COMMANDS)
            else:
                failures = 0
                now = time.monotonic()
                self._newest = (now, now - began, Readings(printed))
            self.runs += 1
            self._ready.set()
            self._closing.wait(PAUSE_S if failures < _FAILURES else _LONG_PAUSE_S)

    def _run(self) -> str | None:
        """What one run prints; None if it fails."""
        with self._lock:
            if self._closing.is_set():
                return None
            try:
                self._child = child = subprocess.Popen(
                    [self._program, *_COMMANDS[self._command]],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            except OSError as error:
                self.problem = f"tpu-info cannot be started: {error.strerror}"
                return None
        with child:
            try:
                output, errors = child.communicate(timeout=TIMEOUT_S)
            except subprocess.TimeoutExpired:
                child.kill()
                self.problem = f"tpu-info did not end within {TIMEOUT_S:g} s"
                return None
        if child.returncode != 0:
            said = errors.decode(errors="replace").strip().splitlines()
            self.problem = f"tpu-info failed with code {child.returncode}: " + "".join(said[-1:])
            return None
        self.problem = None
        return output.decode(errors="replace")
