"""Controls load workers: starts them, runs a phase on them, receives its progress."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import msgspec

from tokenbench.api import BenchError, MachineError
from tokenbench.guard.limits import limit_s
from tokenbench.launch.process import Messages, Process, start
from tokenbench.launch.python import module_command

from .job import LoadJob, encode, error_of
from .merge import merge_summaries
from .records import PhaseSummary
from .session_feed import SessionFeed

_START_TIMEOUT_S = 30.0
# A worker may be silent for the time limit of a plugin's code, plus this.
_SILENT_S = 30.0


@attrs.frozen(kw_only=True)
class Progress:
    """How far a phase is. `tokens` counts token-bearing chunks."""

    elapsed_s: float
    turns: int
    failed: int
    in_flight: int
    tokens: int


class WorkerHandle:
    """A worker process, which runs one phase at a time.

    The constructor does not wait for the process; see :meth:`wait_ready`.
    """

    def __init__(self, *, cpus: tuple[int, ...] | None, log: Path) -> None:
        self.log = log
        self._process: Process = start(
            module_command("tokenbench.load.worker"),
            cpus=cpus,
            stdin="pipe",
            stdout="pipe",
            log=log,
            grace_s=2.0,
        )
        self._messages = Messages("load worker", self._process)
        self._ready = False

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def run(
        self,
        job: LoadJob,
        job_file: Path,
        *,
        on_progress: Callable[[Progress], None],
        interrupted: Callable[[], bool],
        alive: Callable[[], bool],
    ) -> PhaseSummary:
        """Run a phase on this worker only; see :func:`run_phase`."""
        return run_phase(
            [self],
            [(job, job_file)],
            on_progress=on_progress,
            interrupted=interrupted,
            alive=alive,
        )

    def send(self, message: dict[str, Any]) -> None:
        """Send a command; see :mod:`.worker`.

        Raises:
            MachineError: the worker has exited.
        """
        data = encode(message) + b"\n"
        try:
            while data:
                data = data[os.write(self._process.stdin_fd, data) :]
        except BrokenPipeError:
            raise self._exit_error() from None

    def _exit_error(self) -> MachineError:
        return self._messages.killed() or MachineError(
            f"the load worker exited unexpectedly: {self._process.log_tail(3).strip()}",
            hint="see its log; report it if it is a bug in bench",
            log=self.log,
        )

    def messages(self, timeout_s: float) -> list[dict[str, Any]]:
        """The messages of the worker, after waiting at most `timeout_s` seconds for one.

        Raises:
            MachineError: the worker has exited, or a signal halted it and it did not continue.
        """
        found = self._messages.read(timeout_s)
        if found is None:
            raise self._exit_error()
        return found

    def close(self) -> None:
        """Stop the worker, even during a phase. May be called twice."""
        self._process.stop()

    def wait_ready(self) -> None:
        """Wait until the worker accepts commands.

        Raises:
            MachineError: it did not start in time, or has exited.
        """
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._ready and time.monotonic() < deadline:
            self._ready = any("ready" in message for message in self.messages(0.1))
        if not self._ready:
            raise MachineError(
                "the load worker did not start in time", hint="see its log", log=self.log
            )


def run_phase(
    workers: Sequence[WorkerHandle],
    jobs: Sequence[tuple[LoadJob, Path]],
    *,
    on_progress: Callable[[Progress], None],
    interrupted: Callable[[], bool],
    alive: Callable[[], bool],
    feed: SessionFeed | None = None,
) -> PhaseSummary:
    """Run a phase on several workers, which start the load together.

    Returns the merged summary, which is also written to ``phase.json`` next to the records.

    Args:
        jobs: the share of each worker, and the file to write it to.
        interrupted: checked a few times per second; once True, the phase is cancelled and its
            completed turns are kept.
        alive: checked likewise; once False (the server died), the phase is cancelled.
        feed: prepares more sessions while the phase runs; None: the files are complete.

    Raises:
        BenchError: a worker failed; the others are cancelled. Errors of `feed` do the same.
    """
    for worker, (job, file) in zip(workers, jobs, strict=True):
        worker.wait_ready()
        file.write_bytes(encode(job))
        worker.send({"job": str(file)})
    summaries = _Phase(list(workers), on_progress, feed).run(lambda: interrupted() or not alive())
    summary = merge_summaries(summaries)
    (Path(jobs[0][0].output) / "phase.json").write_bytes(encode(summary))
    return summary


class _Phase:
    """A phase in progress: which workers are prepared, have finished, have failed."""

    def __init__(
        self,
        workers: list[WorkerHandle],
        on_progress: Callable[[Progress], None],
        feed: SessionFeed | None,
    ) -> None:
        self._workers = workers
        self._on_progress = on_progress
        self._feed = feed
        self._taken = dict.fromkeys(workers, 0)
        self._prepared: set[WorkerHandle] = set()
        self._started = self._cancelled = False
        self._progress: dict[WorkerHandle, Progress] = {}
        self._finished: dict[WorkerHandle, PhaseSummary] = {}
        self._error: Exception | None = None
        self._failed: set[WorkerHandle] = set()
        self._heard = dict.fromkeys(workers, time.monotonic())

    def run(self, cancel: Callable[[], bool]) -> list[PhaseSummary]:
        """Run to the end; returns the summaries of the workers."""
        while len(self._finished) + len(self._failed) < len(self._workers):
            behind = self._top_up()
            for worker in self._workers:
                if worker not in self._finished and worker not in self._failed:
                    self._receive(worker, 0.0 if behind else 0.1 / len(self._workers))
            ready = self._prepared | self._failed
            if not self._started and len(ready) == len(self._workers):
                self._started = True
                self._send({"start": True})
            if not self._cancelled and (self._error is not None or cancel()):
                self._cancelled = True
                self._send({"cancel": True})
        if self._error is not None:
            raise self._error
        return [self._finished[worker] for worker in self._workers]

    def _top_up(self) -> bool:
        """Prepare more sessions for a short time; returns whether more are missing."""
        if self._feed is None or self._feed.exhausted or self._cancelled or self._error is not None:
            return False
        try:
            return self._feed.top_up([self._taken[worker] for worker in self._workers])
        except Exception as error:
            self._error = error
            return False

    def _receive(self, worker: WorkerHandle, timeout_s: float) -> None:
        try:
            for message in worker.messages(timeout_s):
                self._heard[worker] = time.monotonic()
                self._handle(worker, message)
            self._check_silence(worker)
        except MachineError as error:
            self._failed.add(worker)
            self._error = self._error or error

    def _check_silence(self, worker: WorkerHandle) -> None:
        """Raise if a worker was silent for too long. It reports several times per second and
        interrupts plugin code, so it is halted or in native code that does not return.
        """
        if worker in self._prepared and not self._started:
            self._heard[worker] = time.monotonic()
        silent_s = limit_s("item") + _SILENT_S
        if time.monotonic() - self._heard[worker] > silent_s:
            raise MachineError(
                f"a load worker did not answer for {silent_s:g} s",
                hint="its process is halted, or native code of the workload or the codec does not "
                "return",
                log=worker.log,
            )

    def _send(self, message: dict[str, Any]) -> None:
        for worker in self._workers:
            if worker not in self._finished and worker not in self._failed:
                worker.send(message)

    def _handle(self, worker: WorkerHandle, message: dict[str, Any]) -> None:
        if "prepared" in message:
            self._prepared.add(worker)
        elif "finished" in message:
            self._finished[worker] = msgspec.convert(message["finished"], PhaseSummary)
        elif "error" in message:
            self._failed.add(worker)
            self._error = self._error or _error(message, worker.log)
        elif "taken" in message:
            self._taken[worker] = message["taken"]
        elif "progress" in message:
            self._progress[worker] = Progress(**message["progress"])
            self._on_progress(_sum(list(self._progress.values())))


def _sum(parts: list[Progress]) -> Progress:
    return Progress(
        elapsed_s=max(part.elapsed_s for part in parts),
        turns=sum(part.turns for part in parts),
        failed=sum(part.failed for part in parts),
        in_flight=sum(part.in_flight for part in parts),
        tokens=sum(part.tokens for part in parts),
    )


def _error(message: dict[str, Any], log: Path) -> BenchError:
    text = message["error"]
    if message.get("errno") == errno.ENOENT:
        return MachineError(
            f"the load worker failed: {text}: its folder was deleted, or does not exist",
            hint="do not delete a run's folder while it runs",
            log=log,
        )
    if message["kind"] == "OSError":
        return MachineError(
            f"the load worker failed: {text}",
            hint="check free space and permissions of the run directory",
            log=log,
        )
    return error_of(message, log)
