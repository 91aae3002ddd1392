"""One phase in a load worker: prepared before the clock starts, watched while it runs."""

from __future__ import annotations

import gc
import os
import resource
from array import array
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns, process_time
from typing import Any

from tokenbench.api import BenchError, PluginError

from . import native
from .clocks import read_clocks
from .codecs import find_codec
from .event_loop import EventLoop
from .job import LoadJob
from .pool import ConnectionPool
from .recorder import Recorder
from .records import PhaseSummary, Status
from .scheduler import Scheduler, SchedulerParts
from .session_file import read_sessions
from .strategies import ClosedLoop, OpenLoop
from .target_url import TargetUrl
from .timers import Timers

_PROGRESS_NS = 250_000_000
# Connections that an open loop keeps ahead of its arrivals.
_SPARE = 64


class Phase:
    """One job, run to its end."""

    def __init__(self, job: LoadJob, say: Callable[[dict[str, Any]], None]) -> None:
        self._job = job
        self._say = say
        self._driver: Scheduler | None = None
        self._cancelled = False
        self._going = False
        # Tokens when the watchdog last found more of them, and when that was.
        self._tokens = self._moved_ns = 0

    def go(self) -> None:
        """Start the clock as soon as everything is prepared."""
        self._going = True

    def cancel(self) -> None:
        """End the phase; turns in flight are recorded as cancelled."""
        self._cancelled = self._going = True
        if self._driver is not None:
            self._driver.abort("cancelled", Status.CANCELLED)

    def run(self, loop: EventLoop) -> PhaseSummary:
        """Prepare, then start the clock. The reactor is the phase's own: what it was late for is
        this phase's.
        """
        job = self._job
        codec = find_codec(job.codec, job.codec_module)
        key = os.environ.get(job.api_key_env) if job.api_key_env else None
        target_url = TargetUrl(job.url, api_key=key)
        recorder = Recorder(Path(job.output), worker=job.worker)
        timers = Timers(loop)
        pool = ConnectionPool(target_url, loop, timers, connect_timeout_s=job.connect_timeout_s)
        try:
            with Path(job.sessions).open("rb") as file:
                parts = SchedulerParts(
                    codec=codec,
                    target_url=target_url,
                    pool=pool,
                    recorder=recorder,
                    sessions=read_sessions(file, target_url, first=job.concurrency or 1),
                    timers=timers,
                    loop=loop,
                )
                scheduler = _driver(job, parts)
                pool.open(job.concurrency or pool.spare)
                loop.run_until(lambda: self._cancelled or not pool.connecting)
                # Nothing in the request path makes cycles, so nothing would be found by looking.
                gc.collect()
                gc.disable()
                self._say({"prepared": True})
                loop.run_until(lambda: self._going)
                self._driver = scheduler
                return self._drive(scheduler, parts)
        finally:
            gc.enable()
            pool.close()
            timers.close()
            recorder.close()

    def _drive(self, scheduler: Scheduler, parts: SchedulerParts) -> PhaseSummary:
        cpu_start = process_time()
        scheduler.start()
        self._moved_ns = scheduler.started_ns
        if self._cancelled:
            self.cancel()
        self._watch_on(scheduler, parts)
        parts.loop.run_until(lambda: scheduler.finished)
        cpu_s = process_time() - cpu_start
        receiver = parts.pool.receiver
        receiver.look_at_clock()
        if scheduler.failure is not None:
            raise _plugin_error(scheduler.failure)
        slots = self._job.concurrency or 0
        target = slots * (scheduler.dispatch_ended_ns - scheduler.started_ns)
        return PhaseSummary(
            started_ns=scheduler.started_ns,
            dispatch_ended_ns=scheduler.dispatch_ended_ns,
            ended_ns=scheduler.ended_ns,
            clock_start=receiver.clock,
            clock_end=read_clocks(),
            stopped_by=scheduler.stopped_by or "",
            turns=scheduler.turns,
            scheduled_turns=scheduler.scheduled_turns,
            concurrency=self._job.concurrency,
            rate_per_s=self._job.rate_per_s,
            cpu_s=cpu_s,
            wall_s=(scheduler.ended_ns - scheduler.started_ns) / 1e9,
            in_flight_ns=scheduler.in_flight_ns,
            target_in_flight_ns=target,
            loop_delay_ns=receiver.delays.percentiles(),
            merged_delay_ns=receiver.merged.percentiles(*range(100)),
            kernel_timestamps=receiver.kernel,
            compiled=native.compiled(receiver.poller),
            clock_set_ns=receiver.clock_set_ns,
            max_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            errors=tuple(scheduler.errors),
        )

    def _watch_on(self, scheduler: Scheduler, parts: SchedulerParts) -> None:
        parts.timers.at(monotonic_ns() + _PROGRESS_NS, self._watch, scheduler, parts)

    def _watch(self, scheduler: Scheduler, parts: SchedulerParts) -> None:
        """Progress for the terminal; the stall watchdog; time-outs; a disk that refuses."""
        job = self._job
        now_ns = monotonic_ns()
        scheduler.time_out(now_ns)
        parts.pool.receiver.look_at_clock()
        tokens = scheduler.arrived()
        if tokens != self._tokens or not scheduler.in_flight:
            self._tokens, self._moved_ns = tokens, now_ns
        elif now_ns - self._moved_ns > job.stall_timeout_s * 1e9:
            scheduler.abort("stalled", Status.STALLED)
        if parts.recorder.failure is not None:
            scheduler.abort("fatal", Status.CANCELLED)
        ended = scheduler.dispatch_ended_ns
        if ended > 0 and now_ns - ended > job.drain_timeout_s * 1e9:
            scheduler.abort("drain", Status.TIMEOUT)
        self._say(
            {
                "progress": {
                    "elapsed_s": (now_ns - scheduler.started_ns) / 1e9,
                    "turns": scheduler.turns,
                    "failed": scheduler.failed,
                    "in_flight": scheduler.in_flight,
                    "tokens": tokens,
                }
            }
        )
        self._watch_on(scheduler, parts)


def _driver(job: LoadJob, parts: SchedulerParts) -> Scheduler:
    if job.arrivals is None:
        return ClosedLoop(job, parts)
    schedule = array("q", Path(job.arrivals).read_bytes())
    parts.pool.spare = min(_SPARE, len(schedule))
    return OpenLoop(job, parts, schedule)


def _plugin_error(error: Exception) -> BenchError:
    if isinstance(error, BenchError):
        return error
    return PluginError(
        f"a session of the workload failed: {type(error).__name__}: {error}",
        hint="report it to the author of the workload",
    )
