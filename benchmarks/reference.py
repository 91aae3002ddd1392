"""The server that everything is measured against, on a core of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import attrs

from tokenbench.calibrate.ground_truth import Truth, read_truth


@attrs.frozen(kw_only=True)
class Load:
    """What one run asks for: `requests` in all, `streams` at a time."""

    streams: int
    requests: int
    tokens: int
    ttft_us: int
    itl_us: int
    words: int = 16


@attrs.frozen(kw_only=True)
class Place:
    """Where a process runs: its cores, and whether ahead of all ordinary processes.

    `realtime` (SCHED_FIFO, for server and clients alike) keeps the other users of a shared machine
    out of the figures; it needs the right to it.
    """

    cpus: frozenset[int]
    realtime: bool = False

    def take(self) -> None:
        """Take this place; for `preexec_fn`."""
        self.put(0)

    def put(self, pid: int) -> None:
        """Put a process there, before it starts threads."""
        os.sched_setaffinity(pid, self.cpus)
        if self.realtime:
            os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))


class Running(Protocol):
    """A server that is up."""

    @property
    def port(self) -> int:
        """On 127.0.0.1."""

    def stop(self) -> Truth:
        """End it; what it knows."""


class Reference(Protocol):
    """A reference server. Another one (portable, in Python) fits here where no compiler is."""

    def start(self, load: Load, file: Path) -> Running:
        """Start it for one run; it writes its stamps to `file`."""


@attrs.frozen(kw_only=True)
class CReference:
    """c/server.c, pinned."""

    binary: Path
    place: Place

    def start(self, load: Load, file: Path) -> Running:
        """Start it; it chooses a free port."""
        process = subprocess.Popen(
            [str(self.binary), "0", str(load.ttft_us), str(load.itl_us), str(file)],
            stdout=subprocess.PIPE,
            preexec_fn=self.place.take,  # noqa: PLW1509 - one thread at this time
        )
        assert process.stdout is not None
        with process.stdout as said:
            port = said.readline()
        if not port:
            raise RuntimeError(f"the reference server ended with {process.wait()}")
        return _RunningC(process=process, file=file, port=int(port))


@attrs.frozen(kw_only=True)
class _RunningC:
    process: subprocess.Popen[bytes]
    file: Path
    port: int

    def stop(self) -> Truth:
        self.process.terminate()
        code = self.process.wait(30)
        if code:
            raise RuntimeError(f"the reference server ended with {code}")
        return read_truth(self.file)


@contextmanager
def serving(reference: Reference, load: Load, file: Path) -> Iterator[tuple[int, list[Truth]]]:
    """A server for the time of a block: its port, and a list that holds the truth afterwards."""
    running = reference.start(load, file)
    truth: list[Truth] = []
    try:
        yield running.port, truth
    finally:
        truth.append(running.stop())
        file.unlink(missing_ok=True)
