"""One phase in a load worker: prepared before the clock starts, watched while it runs."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic_ns, process_time, time_ns
from typing import Any

from tokenbench.api import BenchError, Codec, PluginError

from .codecs import find_codec
from .driver import Driver
from .job import LoadJob
from .loops import ClosedLoop, OpenLoop
from .pool import ConnectionPool
from .prepared import Item, read_sessions
from .recorder import Recorder
from .records import ClockPair, PhaseSummary, Status
from .timers import Timers

_PROGRESS_S = 0.25
# Connections that an open loop keeps ahead of its arrivals.
_SPARE = 64


class Phase:
    """One job, run to its end."""

    def __init__(self, job: LoadJob, say: Callable[[dict[str, Any]], None]) -> None:
        self._job = job
        self._say = say
        self._driver: Driver | None = None
        self._cancelled = False
        self.go = asyncio.Event()

    def cancel(self) -> None:
        """End the phase; turns in flight are recorded as cancelled."""
        self._cancelled = True
        self.go.set()
        if self._driver is not None:
            self._driver.abort("cancelled", Status.CANCELLED)

    async def run(self) -> PhaseSummary:
        """Prepare, then start the clock."""
        job = self._job
        codec = find_codec(job.codec, job.codec_plugin)
        folder = Path(job.output)
        key = os.environ.get(job.api_key_env) if job.api_key_env else None
        recorder = Recorder(folder, worker=job.worker)
        timers = Timers(asyncio.get_running_loop())
        pool = ConnectionPool(job.url, connect_timeout_s=job.connect_timeout_s, api_key=key)
        try:
            with Path(job.sessions).open("rb") as file:
                driver = _driver(job, codec, pool, recorder, read_sessions(file), timers)
                await _open(pool, job)
                # Nothing in the request path makes cycles, so nothing would be found by looking.
                gc.collect()
                gc.disable()
                self._say({"prepared": True})
                await self.go.wait()
                self._driver = driver
                summary = await self._drive(driver, pool, recorder)
        finally:
            gc.enable()
            timers.close()
            pool.close()
            recorder.close()
        return summary

    async def _drive(
        self, driver: Driver, pool: ConnectionPool, recorder: Recorder
    ) -> PhaseSummary:
        clock_start, cpu_start = _clocks(), process_time()
        driver.start()
        if self._cancelled:
            self.cancel()
        watch = asyncio.create_task(self._watch(driver, pool, recorder))
        await driver.finished.wait()
        watch.cancel()
        cpu_s = process_time() - cpu_start
        if driver.failure is not None:
            raise _plugin_error(driver.failure)
        slots = self._job.concurrency or 0
        target = slots * (driver.dispatch_ended_ns - driver.started_ns)
        return PhaseSummary(
            started_ns=driver.started_ns,
            dispatch_ended_ns=driver.dispatch_ended_ns,
            ended_ns=driver.ended_ns,
            clock_start=clock_start,
            clock_end=_clocks(),
            stopped_by=driver.stopped_by or "",
            turns=driver.turns,
            scheduled_turns=driver.scheduled_turns,
            concurrency=self._job.concurrency,
            rate_per_s=self._job.rate_per_s,
            cpu_s=cpu_s,
            wall_s=(driver.ended_ns - driver.started_ns) / 1e9,
            in_flight_ns=driver.in_flight_ns,
            target_ns_in_flight=target,
            loop_delay_ns=pool.loop_delays.percentiles(),
            max_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            errors=tuple(driver.errors),
        )

    async def _watch(self, driver: Driver, pool: ConnectionPool, recorder: Recorder) -> None:
        """Progress for the terminal; the stall watchdog; time-outs; a disk that refuses."""
        job = self._job
        stall_ns = int(job.stall_timeout_s * 1e9)
        pool.watch()
        while True:
            await asyncio.sleep(_PROGRESS_S)
            now_ns = monotonic_ns()
            driver.time_out(now_ns)
            tokens, last_ns = driver.arrived()
            if driver.in_flight and now_ns - max(last_ns, driver.started_ns) > stall_ns:
                driver.abort("stalled", Status.STALLED)
            if recorder.failure is not None:
                driver.abort("fatal", Status.CANCELLED)
            ended = driver.dispatch_ended_ns
            if ended > 0 and now_ns - ended > job.drain_timeout_s * 1e9:
                driver.abort("drain", Status.TIMEOUT)
            self._say(
                {
                    "progress": {
                        "elapsed_s": (now_ns - driver.started_ns) / 1e9,
                        "turns": driver.turns,
                        "failed": driver.failed,
                        "in_flight": driver.in_flight,
                        "tokens": tokens,
                    }
                }
            )


def _driver(
    job: LoadJob,
    codec: Codec,
    pool: ConnectionPool,
    recorder: Recorder,
    sessions: Iterator[Item],
    timers: Timers,
) -> Driver:
    if job.arrivals is None:
        return ClosedLoop(job, codec, pool, recorder, sessions, timers)
    schedule = array("q", Path(job.arrivals).read_bytes())
    pool.spare = min(_SPARE, len(schedule))
    return OpenLoop(job, codec, pool, recorder, sessions, timers, schedule)


def _plugin_error(error: Exception) -> BenchError:
    if isinstance(error, BenchError):
        return error
    return PluginError(
        f"a session of the workload failed: {type(error).__name__}: {error}",
        hint="report it to the author of the workload",
    )


async def _open(pool: ConnectionPool, job: LoadJob) -> None:
    try:
        await pool.open(job.concurrency or pool.spare)
    except (OSError, TimeoutError):
        # The requests themselves will fail one by one, each classified as what it is.
        return


def _clocks() -> ClockPair:
    return ClockPair(wall_ns=time_ns(), monotonic_ns=monotonic_ns())
