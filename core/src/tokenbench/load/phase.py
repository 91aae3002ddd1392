"""One phase in a load worker: preparation, load, monitoring."""

from __future__ import annotations

import contextlib
import gc
import resource
from array import array
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns, process_time
from typing import Any

from tokenbench.api import BenchError, Codec, PluginError
from tokenbench.guard.owner import raised, wrong
from tokenbench.launch.secret import read_secret, redact

from . import native
from .clocks import read_clocks
from .codecs import find_codec
from .event_loop import EventLoop
from .hang_watch import HangWatch
from .job import LoadJob, error_message
from .pauses import PauseWatch
from .phase_resources import PhaseResources
from .pool import ConnectionPool
from .recorder import Recorder
from .records import PhaseSummary, Status
from .request_state import CodecFailedError
from .scheduler import Scheduler
from .session_file import SessionReader
from .strategies import ClosedLoop, OpenLoop
from .target_url import TargetUrl
from .timers import Timers

_MONITOR_NS = 250_000_000
_REPORT_NS = 50_000_000
# A phase ends as "failing" if within _FAILING_NS no token arrived and no request succeeded, and at
# least _FAILING_REQUESTS requests failed (and as many as the concurrency). It goes on while a
# request of the first _FIRST_MOMENTS_NS is in flight: the server may serve some requests slowly and
# reject all others.
_FAILING_NS, _FAILING_REQUESTS = 3_000_000_000, 10
_FIRST_MOMENTS_NS = 500_000_000
# The CPU share of a shorter burst of requests says nothing about the load.
_MIN_DISPATCHING_NS = 1_000_000_000
# Idle connections that an open loop keeps ready.
_SPARE = 64


class Phase:
    """Runs one job. `send_message` sends the messages of :mod:`.worker`."""

    def __init__(self, job: LoadJob, send_message: Callable[[dict[str, Any]], None]) -> None:
        self._job = job
        self._send_message = send_message
        self._scheduler: Scheduler | None = None
        self._cancelled = False
        self._may_start = False
        # The number of chunks when it last increased, and when that was.
        self._chunks = self._last_chunk_ns = 0
        # `_good`: chunks and successful requests. `_failed`: failed requests when `_good` last
        # increased, and when that was.
        self._good = self._failed = self._last_good_ns = 0
        # Sessions started, as last reported.
        self._reported = 0

    def start(self) -> None:
        """Allow the load to start once everything is prepared."""
        self._may_start = True

    def cancel(self) -> None:
        """End the phase; requests in flight are recorded as cancelled."""
        self._cancelled = self._may_start = True
        if self._scheduler is not None:
            self._scheduler.abort("cancelled", Status.CANCELLED)

    def run(self, loop: EventLoop) -> PhaseSummary:
        """Prepare, wait for :meth:`start`, and run to the end.

        Use a new event loop for each phase, because its poller measures the read delays.
        """
        with HangWatch(self._job, lambda error: self._send_message(error_message(error))) as watch:
            self._watch = watch
            try:
                return self._run(loop)
            except CodecFailedError as failure:
                raise self._codec_error(failure) from failure.__cause__

    def _codec(self) -> Codec:
        try:
            return find_codec(self._job.codec, self._job.codec_module)
        except BenchError:
            raise
        except BaseException as error:
            raise raised(self._job.codec_owner or "the codec", "its factory", error) from error

    def _codec_error(self, failure: CodecFailedError) -> PluginError:
        owner = self._job.codec_owner or "the codec"
        if failure.problem is not None:
            return wrong(owner, "classify()", f"returned {failure.problem}")
        assert failure.__cause__ is not None
        return raised(owner, "classify()", failure.__cause__)

    def _run(self, loop: EventLoop) -> PhaseSummary:
        job = self._job
        codec = self._codec()
        target_url = TargetUrl(job.url, api_key=read_secret(job.api_key_env), access=job.access)
        recorder = Recorder(Path(job.output), worker=job.worker)
        timers = Timers(loop)
        pool = ConnectionPool(target_url, loop, timers, connect_timeout_s=job.connect_timeout_s)
        try:
            with contextlib.closing(SessionReader(Path(job.sessions), target_url)) as sessions:
                sessions.read_ahead(job.concurrency or 1)
                resources = PhaseResources(
                    codec=codec,
                    target_url=target_url,
                    pool=pool,
                    recorder=recorder,
                    sessions=sessions,
                    timers=timers,
                    loop=loop,
                )
                scheduler = _make_scheduler(job, resources)
                pool.connect_ahead(job.concurrency or pool.spare)
                loop.run_until(lambda: self._cancelled or not pool.connecting)
                # The request path makes no reference cycles, so a collection would find nothing.
                gc.collect()
                gc.disable()
                self._send_message({"prepared": True})
                loop.run_until(lambda: self._may_start)
                self._scheduler = scheduler
                return self._measure(scheduler, resources)
        finally:
            gc.enable()
            pool.close()
            timers.close()
            recorder.close()

    def _measure(self, scheduler: Scheduler, resources: PhaseResources) -> PhaseSummary:
        cpu_start = process_time()
        pauses = self._pauses = PauseWatch(resources.loop.poller)
        pauses.start()
        scheduler.start()
        self._last_chunk_ns = self._last_good_ns = scheduler.started_ns
        if self._cancelled:
            self.cancel()
        self._monitor_later(scheduler, resources)
        self._report_taken(scheduler, resources)
        resources.loop.run_until(lambda: scheduler.stopped_by is not None)
        dispatching_cpu_s = process_time() - cpu_start
        resources.loop.run_until(lambda: scheduler.finished)
        pauses.check()
        cpu_s = process_time() - cpu_start
        receiver = resources.pool.receiver
        receiver.check_clock()
        if scheduler.failure is not None:
            raise scheduler.failure
        concurrency = self._job.concurrency or 0
        target_ns = concurrency * (scheduler.dispatch_ended_ns - scheduler.started_ns)
        return PhaseSummary(
            started_ns=scheduler.started_ns,
            dispatch_ended_ns=scheduler.dispatch_ended_ns,
            ended_ns=scheduler.ended_ns,
            clock_start=receiver.clock,
            clock_end=read_clocks(),
            stopped_by=scheduler.stopped_by or "",
            turns=scheduler.turns,
            failed=scheduler.failed,
            scheduled_turns=scheduler.scheduled_turns,
            concurrency=self._job.concurrency,
            rate_per_s=self._job.rate_per_s,
            cpu_share=_cpu_share(scheduler, dispatching_cpu_s, cpu_s),
            in_flight_ns=scheduler.in_flight_ns,
            target_in_flight_ns=target_ns,
            loop_delay_ns=receiver.delays.percentiles(),
            merged_delay_ns=receiver.merged_delays.percentiles(*range(100)),
            kernel_timestamps=receiver.kernel_timestamps,
            compiled=native.is_compiled(receiver.poller),
            clock_set_ns=receiver.clock_set_ns,
            longest_pause_ns=pauses.longest_ns,
            paused_ns=pauses.total_ns,
            retries=resources.pool.retries,
            starved_ns=scheduler.sessions.starved_ns,
            max_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            labels=scheduler.labels,
            errors=tuple(redact(e, resources.target_url.hidden) for e in scheduler.errors),
        )

    def _report_taken(self, scheduler: Scheduler, resources: PhaseResources) -> None:
        """Report how many sessions were started, so that enough are prepared ahead."""
        taken = scheduler.sessions.taken
        if taken != self._reported:
            self._reported = taken
            self._send_message({"taken": taken})
        if scheduler.stopped_by is None:
            resources.timers.call_at(
                monotonic_ns() + _REPORT_NS, self._report_taken, scheduler, resources
            )

    def _monitor_later(self, scheduler: Scheduler, resources: PhaseResources) -> None:
        resources.timers.call_at(monotonic_ns() + _MONITOR_NS, self._monitor, scheduler, resources)

    def _monitor(self, scheduler: Scheduler, resources: PhaseResources) -> None:
        """Report progress; handle timeouts, stalls and disk errors."""
        job = self._job
        now_ns = monotonic_ns()
        self._watch.beat()
        self._pauses.check()
        scheduler.end_timed_out(now_ns)
        receiver = resources.pool.receiver
        receiver.check_clock()
        receiver.delays.thin()
        receiver.merged_delays.thin()
        chunks = scheduler.received_chunks()
        if chunks != self._chunks or not scheduler.in_flight:
            self._chunks, self._last_chunk_ns = chunks, now_ns
        elif now_ns - self._last_chunk_ns > job.stall_timeout_s * 1e9:
            scheduler.abort("stalled", Status.STALLED)
        if self._only_fails(scheduler, chunks, now_ns):
            scheduler.abort("failing", Status.CANCELLED)
        if resources.recorder.failure is not None:
            scheduler.abort("fatal", Status.CANCELLED)
        ended = scheduler.cut_ns
        if ended > 0 and now_ns - ended > job.drain_timeout_s * 1e9:
            scheduler.abort("drain", Status.TIMEOUT)
        self._send_message(
            {
                "progress": {
                    "elapsed_s": (now_ns - scheduler.started_ns) / 1e9,
                    "turns": scheduler.turns,
                    "failed": scheduler.failed,
                    "in_flight": scheduler.in_flight,
                    "tokens": chunks,
                }
            }
        )
        self._monitor_later(scheduler, resources)

    def _only_fails(self, scheduler: Scheduler, chunks: int, now_ns: int) -> bool:
        """Whether all requests have failed for a while, see `_FAILING_NS`."""
        good = chunks + scheduler.turns - scheduler.failed
        if good != self._good:
            self._good, self._failed, self._last_good_ns = good, scheduler.failed, now_ns
            return False
        failed = scheduler.failed - self._failed
        return (
            now_ns - self._last_good_ns >= _FAILING_NS
            and failed >= max(_FAILING_REQUESTS, self._job.concurrency or 0)
            and scheduler.waiting_since_ns() > self._last_good_ns + _FIRST_MOMENTS_NS
        )


def _cpu_share(scheduler: Scheduler, dispatching_cpu_s: float, cpu_s: float) -> float | None:
    """See :attr:`.records.PhaseSummary.cpu_share`."""
    started_ns = scheduler.started_ns
    if (dispatching_ns := scheduler.dispatch_ended_ns - started_ns) >= _MIN_DISPATCHING_NS:
        return dispatching_cpu_s / (dispatching_ns / 1e9)
    seconds = (scheduler.ended_ns - started_ns) / 1e9
    return cpu_s / seconds if seconds > 0 else None


def _make_scheduler(job: LoadJob, resources: PhaseResources) -> Scheduler:
    if job.arrivals is None:
        return ClosedLoop(job, resources)
    schedule = array("q", Path(job.arrivals).read_bytes())
    resources.pool.spare = min(_SPARE, len(schedule))
    return OpenLoop(job, resources, schedule)
