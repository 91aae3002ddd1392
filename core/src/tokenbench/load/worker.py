"""The load worker: a process of its own that runs phases, one after the other.

Talks in JSON lines. In: ``{"job": PATH}`` runs the phase of that job file, ``{"cancel": true}``
ends it; the end of the input ends the worker. Out: ``{"ready": ...}`` once, ``{"progress": ...}`` a
few times a second, ``{"finished": PhaseSummary}`` or ``{"error": ..., "hint": ...}`` once a phase.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic_ns, process_time, time_ns
from typing import IO, Any

import msgspec

from tokenbench.api import BenchError, Codec, HttpRequest, Session, Target

from .codecs import find_codec
from .driver import ClosedLoop
from .job import LoadJob, decode_job, encode
from .pool import ConnectionPool
from .recorder import Recorder
from .records import ClockPair, PhaseSummary, Status
from .sessions import SessionRun, read_sessions

_PROGRESS_S = 0.25
_PREPARED = 4096


def main() -> None:
    """Entry point of ``python -m tokenbench.load.worker`` and of ``bench load-worker``."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())


async def _serve() -> None:
    commands: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
    phase: _Phase | None = None

    def on_line(line: bytes) -> None:
        message = msgspec.json.decode(line)
        if message.get("cancel"):
            if phase is not None:
                phase.cancel()
        else:
            commands.put_nowait(message)

    def on_end() -> None:
        commands.put_nowait(None)
        if phase is not None:
            phase.cancel()

    _listen(on_line, on_end)
    _say({"ready": os.getpid()})
    while (message := await commands.get()) is not None:
        try:
            phase = _Phase(decode_job(Path(message["job"]).read_bytes()))
            _say({"finished": await phase.run()})
        except BenchError as error:
            _say(
                {
                    "error": error.message,
                    "hint": error.hint,
                    "kind": type(error).__name__,
                }
            )
        except OSError as error:
            text = f"{error.strerror or error} ({error.filename})" if error.filename else str(error)
            _say({"error": text, "errno": error.errno, "hint": "", "kind": "OSError"})
        finally:
            phase = None


def _listen(on_line: Any, on_end: Any) -> None:
    """Read commands in lines from standard input without a thread."""
    buffer = b""
    loop = asyncio.get_running_loop()

    def readable() -> None:
        nonlocal buffer
        data = os.read(0, 65536)
        if not data:
            loop.remove_reader(0)
            on_end()
            return
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            on_line(line)

    loop.add_reader(0, readable)


def _say(message: dict[str, Any]) -> None:
    data = encode(message) + b"\n"
    while data:
        data = data[os.write(1, data) :]


class _Phase:
    """One job, run to its end."""

    def __init__(self, job: LoadJob) -> None:
        self._job = job
        self._driver: ClosedLoop | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """End the phase; turns in flight are recorded as cancelled."""
        self._cancelled = True
        if self._driver is not None:
            self._driver.abort("cancelled", Status.CANCELLED)

    async def run(self) -> PhaseSummary:
        """Prepare, then start the clock."""
        job = self._job
        codec = find_codec(job.codec, job.codec_plugin)
        folder = Path(job.output)
        key = os.environ.get(job.api_key_env) if job.api_key_env else None
        recorder = Recorder(folder, worker=job.worker)
        pool = ConnectionPool(job.url, connect_timeout_s=job.connect_timeout_s, api_key=key)
        try:
            with Path(job.sessions).open("rb") as file:
                sessions = _prepared(file, codec, Target(model=job.model, dialect=job.dialect))
                driver = ClosedLoop(job, codec, pool, recorder, sessions)
                await _open(pool, job)
                # Garbage of the preparation is gone, and its survivors are never looked at again.
                gc.collect()
                gc.freeze()
                self._driver = driver
                summary = await self._drive(driver, pool, recorder)
        finally:
            gc.unfreeze()
            pool.close()
            recorder.close()
        (folder / "phase.json").write_bytes(encode(summary))
        return summary

    async def _drive(
        self, driver: ClosedLoop, pool: ConnectionPool, recorder: Recorder
    ) -> PhaseSummary:
        clock_start, cpu_start = _clocks(), process_time()
        driver.start()
        if self._cancelled:
            self.cancel()
        watch = asyncio.create_task(self._watch(driver, pool, recorder))
        await driver.finished.wait()
        watch.cancel()
        cpu_s = process_time() - cpu_start
        target = self._job.concurrency * (driver.dispatch_ended_ns - driver.started_ns)
        return PhaseSummary(
            started_ns=driver.started_ns,
            dispatch_ended_ns=driver.dispatch_ended_ns,
            ended_ns=driver.ended_ns,
            clock_start=clock_start,
            clock_end=_clocks(),
            stopped_by=driver.stopped_by or "",
            turns=driver.turns,
            scheduled_turns=driver.dispatched,
            concurrency=self._job.concurrency,
            cpu_s=cpu_s,
            wall_s=(driver.ended_ns - driver.started_ns) / 1e9,
            in_flight_ns=driver.in_flight_ns,
            target_ns_in_flight=target,
            loop_delay_ns=_percentiles(pool.loop_delays),
            max_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            errors=tuple(driver.errors),
        )

    async def _watch(self, driver: ClosedLoop, pool: ConnectionPool, recorder: Recorder) -> None:
        """Progress for the terminal; the stall watchdog; time-outs; a disk that refuses."""
        job = self._job
        stall_ns = int(job.stall_timeout_s * 1e9)
        pool.last_token_ns = monotonic_ns()
        while True:
            await asyncio.sleep(_PROGRESS_S)
            now_ns = monotonic_ns()
            driver.time_out(now_ns)
            if driver.in_flight and now_ns - pool.last_token_ns > stall_ns:
                driver.abort("stalled", Status.STALLED)
            if recorder.failure is not None:
                driver.abort("fatal", Status.CANCELLED)
            ended = driver.dispatch_ended_ns
            if ended > 0 and now_ns - ended > job.drain_timeout_s * 1e9:
                driver.abort("drain", Status.TIMEOUT)
            _say(
                {
                    "progress": {
                        "elapsed_s": (now_ns - driver.started_ns) / 1e9,
                        "turns": driver.turns,
                        "failed": driver.failed,
                        "in_flight": driver.in_flight,
                        "tokens": pool.tokens,
                    }
                }
            )


async def _open(pool: ConnectionPool, job: LoadJob) -> None:
    try:
        await pool.open(job.concurrency)
    except (OSError, TimeoutError):
        # The requests themselves will fail one by one, each classified as what it is.
        return


def _prepared(
    file: IO[bytes], codec: Codec, target: Target
) -> Iterator[tuple[Session, HttpRequest | None]]:
    """Sessions with the encoded request of those whose one turn is known beforehand.

    The first few thousand are made before the clock starts; more would only cost memory, and are
    made one by one as slots become free (tens of microseconds, booked as dispatch delay).
    """

    def prepare(session: Session) -> tuple[Session, HttpRequest | None]:
        if not session.one_turn:
            return session, None
        turns: list[Any] = []
        SessionRun(0, session, lambda _run, _number, turn: turns.append(turn)).start()
        return session, codec.encode(turns[0], target)

    items = map(prepare, read_sessions(file))
    return itertools.chain(list(itertools.islice(items, _PREPARED)), items)


def _clocks() -> ClockPair:
    return ClockPair(wall_ns=time_ns(), monotonic_ns=monotonic_ns())


def _percentiles(values: Any) -> tuple[int, ...]:
    """p50, p90, p99 and maximum, nearest rank; empty where nothing was read."""
    if not values:
        return ()
    ordered = sorted(values)
    last = len(ordered) - 1
    return tuple(ordered[round(last * share)] for share in (0.5, 0.9, 0.99, 1.0))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
