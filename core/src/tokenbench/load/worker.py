"""The load worker: a process of its own that runs phases, one after the other.

Talks in JSON lines. In: ``{"job": PATH}`` prepares the phase of that job file, ``{"go": true}``
starts its clock, ``{"cancel": true}`` ends it; the end of the input ends the worker. Out:
``{"ready": ...}`` once, ``{"prepared": true}``, ``{"progress": ...}`` a few times a second,
``{"finished": PhaseSummary}`` or ``{"error": ..., "hint": ...}`` once a phase.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sys
from pathlib import Path
from typing import Any

import msgspec

from tokenbench.api import BenchError, UsageError

from .job import decode_job, encode
from .phase import Phase
from .records import PhaseSummary


def main() -> None:
    """Entry point of ``python -m tokenbench.load.worker``."""
    import uvloop

    _allow_many_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_Worker().serve())


def run_job(file: Path) -> str:
    """Run the job of a file alone, without commands; its summary as JSON, also left as
    ``phase.json`` beside the records.

    Raises:
        UsageError: the file cannot be read or holds no job.
        BenchError: the phase could not be run.
    """
    import uvloop

    try:
        job = decode_job(file.read_bytes())
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot read the job {file}: {reason}", hint="check the path") from None
    except msgspec.MsgspecError as error:
        raise UsageError(f"{file} holds no load job: {error}", hint="see bench run") from None
    _allow_many_files()

    async def run() -> PhaseSummary:
        phase = Phase(job, lambda _: None)
        phase.go.set()
        return await phase.run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        summary = encode(runner.run(run()))
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
        self._commands: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._phase: Phase | None = None
        self._buffer = b""

    async def serve(self) -> None:
        """Until the input ends."""
        asyncio.get_running_loop().add_reader(0, self._readable)
        _say({"ready": os.getpid()})
        while (message := await self._commands.get()) is not None:
            try:
                self._phase = Phase(decode_job(Path(message["job"]).read_bytes()), _say)
                _say({"finished": await self._phase.run()})
            except BenchError as error:
                kind = type(error).__name__
                _say({"error": error.message, "hint": error.hint, "kind": kind})
            except OSError as error:
                text = str(error.strerror or error)
                text += f" ({error.filename})" if error.filename else ""
                _say({"error": text, "errno": error.errno, "hint": "", "kind": "OSError"})
            finally:
                self._phase = None

    def _readable(self) -> None:
        """Read commands in lines from standard input without a thread."""
        data = os.read(0, 65536)
        if not data:
            asyncio.get_running_loop().remove_reader(0)
            self._commands.put_nowait(None)
            if self._phase is not None:
                self._phase.cancel()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._take(msgspec.json.decode(line))

    def _take(self, message: dict[str, Any]) -> None:
        if "job" in message:
            self._commands.put_nowait(message)
        elif self._phase is None:
            return
        elif message.get("cancel"):
            self._phase.cancel()
        elif message.get("go"):
            self._phase.go.set()


def _say(message: dict[str, Any]) -> None:
    data = encode(message) + b"\n"
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
