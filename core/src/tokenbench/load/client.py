"""The command's end of a load worker: start it, hand it phases, follow its progress."""

from __future__ import annotations

import os
import selectors
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import msgspec

from tokenbench import api
from tokenbench.api import BenchError, EngineError, MachineError
from tokenbench.launch.process import Process, start

from .job import LoadJob, encode
from .records import PhaseSummary

_START_LIMIT_S = 30.0


@attrs.frozen(kw_only=True)
class Progress:
    """Where a phase stands."""

    elapsed_s: float
    turns: int
    failed: int
    in_flight: int
    tokens: int


class LoadWorker:
    """A worker process. One phase at a time; :meth:`close` ends it whatever it does."""

    def __init__(self, *, cpus: tuple[int, ...] | None, log: Path) -> None:
        self._log = log
        self._process: Process = start(
            [sys.executable, "-m", "tokenbench.load.worker"],
            cpus=cpus,
            stdin="pipe",
            stdout="pipe",
            log=log,
            grace_s=2.0,
        )
        self._buffer = b""
        self._selector = selectors.DefaultSelector()
        self._out: int = self._process.stdout_fd
        self._selector.register(self._out, selectors.EVENT_READ)
        self._wait_ready()

    def run(
        self,
        job: LoadJob,
        job_file: Path,
        *,
        on_progress: Callable[[Progress], None],
        interrupted: Callable[[], bool],
        alive: Callable[[], bool],
    ) -> PhaseSummary:
        """Run a phase to its end.

        Args:
            interrupted: asked a few times a second; once True, the phase is cancelled and what was
                measured is kept.
            alive: asked likewise; once False (the server died), the phase is cancelled.

        Raises:
            BenchError: the worker could not do it.
        """
        job_file.write_bytes(encode(job))
        self._say({"job": str(job_file)})
        cancelled = False
        while True:
            for message in self._messages(0.1):
                if "finished" in message:
                    return msgspec.convert(message["finished"], PhaseSummary)
                if "error" in message:
                    raise _error(message, self._log)
                if "progress" in message:
                    on_progress(Progress(**message["progress"]))
            if not cancelled and (interrupted() or not alive()):
                self._say({"cancel": True})
                cancelled = True

    def close(self) -> None:
        """End the worker. May be called twice."""
        self._selector.close()
        self._process.stop()

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < deadline:
            if any("ready" in message for message in self._messages(0.1)):
                return
        raise MachineError(
            "the load worker did not start in time", hint="see its log", log=self._log
        )

    def _messages(self, timeout_s: float) -> list[dict[str, Any]]:
        if not self._selector.select(timeout_s):
            return []
        data = os.read(self._out, 65536)
        if not data:
            self._process.wait(5.0)
            raise MachineError(
                f"the load worker ended unexpectedly: {self._process.log_tail(3).strip()}",
                hint="see its log; report it if it is a bug in bench",
                log=self._log,
            )
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [msgspec.json.decode(line) for line in lines]

    def _say(self, message: dict[str, Any]) -> None:
        data = encode(message) + b"\n"
        while data:
            data = data[os.write(self._process.stdin_fd, data) :]


def _error(message: dict[str, Any], log: Path) -> BenchError:
    text, hint = message["error"], message["hint"]
    if message["kind"] == "OSError":
        return MachineError(
            f"the load worker could not go on: {text}",
            hint="check free space and rights of the run directory",
            log=log,
        )
    kind = getattr(api, message["kind"], EngineError)
    made: BenchError = kind(text, hint=hint, log=log)
    return made
