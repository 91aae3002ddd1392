"""The load worker: a process that runs phases, one after the other.

Its input and output are JSON lines. Commands: ``{"job": PATH}`` prepares the phase of a job file,
``{"start": true}`` starts its load, ``{"cancel": true}`` ends it; the worker exits at the end of
the input. Messages: ``{"ready": ...}`` once; for each phase ``{"prepared": true}``,
``{"progress": ...}`` a few times per second, ``{"taken": N}`` (sessions started) more often, and
``{"finished": PhaseSummary}`` or ``{"error": ..., "hint": ...}`` at the end.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import traceback
from collections import deque
from pathlib import Path
from typing import Any

import msgspec

from tokenbench.api import BenchError, UsageError
from tokenbench.launch.limits import allow_many_files

from .event_loop import EventLoop
from .job import LoadJob, decode, encode, error_message
from .phase import Phase


def main() -> None:
    """Entry point of ``python -m tokenbench.load.worker``."""
    allow_many_files()
    _Channel.fd = os.dup(1)
    os.dup2(2, 1)  # Output that a plugin's codec prints goes to the log.
    # Imported objects are never freed, so the collection before each phase need not scan them.
    gc.freeze()
    _Worker().serve()


def run_job(file: Path) -> str:
    """Run the job of a file at once, without commands.

    Returns the summary as JSON, which is also written to ``phase.json`` next to the records.

    Raises:
        UsageError: the file cannot be read, or has no job.
        BenchError: the phase failed.
    """
    try:
        job = decode(file.read_bytes(), LoadJob)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot read the job {file}: {reason}", hint="check the path") from None
    except msgspec.MsgspecError as error:
        raise UsageError(
            f"{file} is not a load job: {error}",
            hint="a load job is a file job-N.json that `bench run` wrote",
        ) from None
    allow_many_files()

    phase = Phase(job, lambda _: None)
    phase.start()
    with contextlib.closing(EventLoop()) as loop:
        summary = encode(phase.run(loop))
    (Path(job.output) / "phase.json").write_bytes(summary)
    return summary.decode()


class _Channel:
    """The descriptor to which messages are written."""

    fd = 1


class _Worker:
    def __init__(self) -> None:
        self._jobs: deque[Path] = deque()
        self._input_ended = False
        self._phase: Phase | None = None
        self._buffer = b""

    def serve(self) -> None:
        """Handle commands until the input ends."""
        _send_message({"ready": os.getpid()})
        while not self._input_ended:
            with contextlib.closing(EventLoop()) as loop:
                loop.watch(0, lambda _: self._read_commands(loop))
                loop.run_until(lambda: self._input_ended or bool(self._jobs))
                if self._jobs and not self._input_ended:
                    _send_message(self._run_phase(self._jobs.popleft(), loop))

    def _run_phase(self, file: Path, loop: EventLoop) -> dict[str, Any]:
        """Run a phase; returns its last message."""
        try:
            self._phase = Phase(decode(file.read_bytes(), LoadJob), _send_message)
            return {"finished": self._phase.run(loop)}
        except BenchError as error:
            if error.__cause__ is not None:
                traceback.print_exception(error)
            return error_message(error)
        except OSError as error:
            text = str(error.strerror or error)
            text += f" ({error.filename})" if error.filename else ""
            return {"error": text, "errno": error.errno, "hint": "", "kind": "OSError"}
        except Exception as error:
            traceback.print_exc()
            text = f"the load worker failed: {type(error).__name__}: {error}"
            hint = "this is a bug in bench; report it with the traceback in the log"
            return {"error": text, "hint": hint, "kind": "MachineError"}
        finally:
            self._phase = None

    def _read_commands(self, loop: EventLoop) -> None:
        data = os.read(0, 65536)
        if not data:
            loop.unwatch(0)
            self._input_ended = True
            if self._phase is not None:
                self._phase.cancel()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._handle_command(msgspec.json.decode(line))

    def _handle_command(self, message: dict[str, Any]) -> None:
        if "job" in message:
            self._jobs.append(Path(message["job"]))
        elif self._phase is None:
            return
        elif message.get("cancel"):
            self._phase.cancel()
        elif message.get("start"):
            self._phase.start()


def _send_message(message: dict[str, Any]) -> None:
    data = encode(message) + b"\n"
    while data:
        data = data[os.write(_Channel.fd, data) :]


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
