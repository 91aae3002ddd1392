"""The load worker: a process of its own that runs phases, one after the other.

Talks in JSON lines. In: ``{"job": PATH}`` prepares the phase of that job file, ``{"go": true}``
starts its clock, ``{"cancel": true}`` ends it; the end of the input ends the worker. Out:
``{"ready": ...}`` once, ``{"prepared": true}``, ``{"progress": ...}`` a few times a second,
``{"finished": PhaseSummary}`` or ``{"error": ..., "hint": ...}`` once a phase.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import sys
import traceback
from collections import deque
from pathlib import Path
from typing import Any

import msgspec

from tokenbench.api import BenchError, UsageError

from .event_loop import EventLoop
from .job import decode_job, encode
from .phase import Phase


def main() -> None:
    """Entry point of ``python -m tokenbench.load.worker``."""
    _allow_many_files()
    # What was imported stays; a phase collects before its clock starts, and need not look at it.
    gc.freeze()
    _Worker().serve()


def run_job(file: Path) -> str:
    """Run the job of a file alone, without commands; its summary as JSON, also left as
    ``phase.json`` beside the records.

    Raises:
        UsageError: the file cannot be read or holds no job.
        BenchError: the phase could not be run.
    """
    try:
        job = decode_job(file.read_bytes())
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot read the job {file}: {reason}", hint="check the path") from None
    except msgspec.MsgspecError as error:
        raise UsageError(f"{file} holds no load job: {error}", hint="see bench run") from None
    _allow_many_files()

    phase = Phase(job, lambda _: None)
    phase.go()
    with contextlib.closing(EventLoop()) as loop:
        summary = encode(phase.run(loop))
    (Path(job.output) / "phase.json").write_bytes(summary)
    return summary.decode()


def _allow_many_files() -> None:
    """A stream is a file; the usual soft limit of 1024 is below what one worker drives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 1 << 20)), hard))


class _Worker:
    """Commands in, phases one by one, answers out."""

    def __init__(self) -> None:
        self._jobs: deque[Path] = deque()
        self._over = False
        self._phase: Phase | None = None
        self._buffer = b""

    def serve(self) -> None:
        """Until the input ends."""
        _say({"ready": os.getpid()})
        while not self._over:
            with contextlib.closing(EventLoop()) as loop:
                loop.watch(0, lambda _: self._read(loop))
                loop.run_until(lambda: self._over or bool(self._jobs))
                if self._jobs and not self._over:
                    _say(self._run(self._jobs.popleft(), loop))

    def _run(self, file: Path, loop: EventLoop) -> dict[str, Any]:
        """One phase; what is to be said of it."""
        try:
            self._phase = Phase(decode_job(file.read_bytes()), _say)
            return {"finished": self._phase.run(loop)}
        except BenchError as error:
            return {"error": error.message, "hint": error.hint, "kind": type(error).__name__}
        except OSError as error:
            text = str(error.strerror or error)
            text += f" ({error.filename})" if error.filename else ""
            return {"error": text, "errno": error.errno, "hint": "", "kind": "OSError"}
        except Exception as error:
            # A codec of a plugin, most likely: its traceback is for the author.
            traceback.print_exc()
            text = f"the load worker failed: {type(error).__name__}: {error}"
            return {"error": text, "hint": "its log has the traceback", "kind": "PluginError"}
        finally:
            self._phase = None

    def _read(self, loop: EventLoop) -> None:
        """Commands, in lines, from standard input."""
        data = os.read(0, 65536)
        if not data:
            loop.forget(0)
            self._over = True
            if self._phase is not None:
                self._phase.cancel()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._take(msgspec.json.decode(line))

    def _take(self, message: dict[str, Any]) -> None:
        if "job" in message:
            self._jobs.append(Path(message["job"]))
        elif self._phase is None:
            return
        elif message.get("cancel"):
            self._phase.cancel()
        elif message.get("go"):
            self._phase.go()


def _say(message: dict[str, Any]) -> None:
    data = encode(message) + b"\n"
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
