"""The reference server, which knows the ground truth and has a core of its own."""

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
    """The load of one run: `requests` requests, `concurrency` of them in flight."""

    concurrency: int
    requests: int
    tokens: int
    ttft_us: int
    itl_us: int
    words: int = 16


@attrs.frozen(kw_only=True)
class Placement:
    """The cores of a process, and whether it has real-time priority.

    `realtime` (SCHED_FIFO) keeps other processes of a shared machine out of the figures. It needs
    the permission to do so (CAP_SYS_NICE).
    """

    cpus: frozenset[int]
    realtime: bool = False

    def apply(self) -> None:
        """Apply to this process; for `preexec_fn`."""
        self.apply_to(0)

    def apply_to(self, pid: int) -> None:
        """Apply to another process, before it starts threads."""
        os.sched_setaffinity(pid, self.cpus)
        if self.realtime:
            os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))


class Running(Protocol):
    """A running reference server."""

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""

    def stop(self) -> Truth:
        """Stop the server; returns the ground truth."""


class Reference(Protocol):
    """A reference server."""

    def start(self, load: Load, file: Path) -> Running:
        """Start the server for one run; it writes its timestamps to `file`."""


@attrs.frozen(kw_only=True)
class CReference:
    """The server of c/server.c."""

    binary: Path
    placement: Placement

    def start(self, load: Load, file: Path) -> Running:
        """Start the server on a free port."""
        process = subprocess.Popen(
            [str(self.binary), "0", str(load.ttft_us), str(load.itl_us), str(file)],
            stdout=subprocess.PIPE,
            preexec_fn=self.placement.apply,  # noqa: PLW1509 - one thread at this time
        )
        assert process.stdout is not None
        with process.stdout as output:
            port = output.readline()
        if not port:
            raise RuntimeError(f"the reference server exited with {process.wait()}")
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
            raise RuntimeError(f"the reference server exited with {code}")
        return read_truth(self.file)


@contextmanager
def serving(reference: Reference, load: Load, file: Path) -> Iterator[tuple[int, list[Truth]]]:
    """Run a server during a block: its port, and a list that has the ground truth afterwards."""
    running = reference.start(load, file)
    truth: list[Truth] = []
    try:
        yield running.port, truth
    finally:
        truth.append(running.stop())
        file.unlink(missing_ok=True)
