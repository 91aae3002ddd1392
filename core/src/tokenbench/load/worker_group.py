"""The load workers of one deployment: splits a phase among them and merges their results."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

import attrs

from tokenbench.api import Session, Stop, Target

from .codecs import find_codec
from .job import LoadJob
from .records import PhaseSummary
from .session_feed import SessionFeed
from .worker_handle import Progress, WorkerHandle, run_phase


class WorkerGroup:
    """One worker per core. A context manager; otherwise call :meth:`close`.

    Args:
        cpus: the core of each worker; None: one worker on any core.
        logs: a folder for their logs.
    """

    def __init__(self, *, cpus: tuple[int, ...] | None, logs: Path) -> None:
        self._workers: list[WorkerHandle] = []
        pins: list[tuple[int, ...] | None] = [(cpu,) for cpu in cpus] if cpus else [None]
        try:
            for number, pin in enumerate(pins):
                log = logs / f"load-worker{f'-{number}' if number else ''}.log"
                self._workers.append(WorkerHandle(cpus=pin, log=log))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> WorkerGroup:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the workers."""
        return tuple(worker.pid for worker in self._workers)

    def run(
        self,
        job: LoadJob,
        sessions: Iterable[Session],
        arrivals: array[int] | None = None,
        *,
        workers: int | None = None,
        on_progress: Callable[[Progress], None],
        interrupted: Callable[[], bool],
        alive: Callable[[], bool],
    ) -> PhaseSummary:
        """Run a phase; see :func:`tokenbench.load.worker_handle.run_phase`.

        Args:
            job: the whole phase; `sessions`, `arrivals`, `worker` and `workers` are set here.
            sessions: may be endless; taken as needed, before and during the phase.
            arrivals: the schedule of an open loop.
            workers: how many workers share the phase; by default all.
        """
        folder = Path(job.output)
        shares = split_job(job, workers or len(self._workers))
        files = [folder / f"sessions-{share.worker}.pickle" for share in shares]
        schedules = [folder / f"arrivals-{share.worker}.bin" for share in shares]
        feed = SessionFeed(
            iter(sessions),
            find_codec(job.codec, job.codec_module),
            Target(model=job.model, dialect=job.dialect),
            files,
            concurrency=job.concurrency or 0,
            rate_per_s=job.rate_per_s,
            limit=_most_sessions(job, arrivals),
            workload_owner=job.workload_owner,
            codec_owner=job.codec_owner,
        )
        try:
            feed.prepare(lambda: interrupted() or not alive())
            jobs = []
            for share, file, schedule in zip(shares, files, schedules, strict=True):
                own = attrs.evolve(share, sessions=str(file))
                if arrivals is not None:
                    schedule.write_bytes(arrivals[share.worker :: share.workers].tobytes())
                    own = attrs.evolve(own, arrivals=str(schedule))
                jobs.append((own, folder / f"job-{share.worker}.json"))
            return run_phase(
                self._workers[: len(jobs)],
                jobs,
                on_progress=on_progress,
                interrupted=interrupted,
                alive=alive,
                feed=feed,
            )
        finally:
            feed.close()
            for schedule in schedules:
                schedule.unlink(missing_ok=True)

    def close(self) -> None:
        """Stop all workers. May be called twice."""
        with contextlib.ExitStack() as stack:
            for worker in self._workers:
                stack.callback(worker.close)


def split_job(job: LoadJob, workers: int) -> list[LoadJob]:
    """Split a phase: concurrency and the limits of its stop rules are divided evenly.

    With less concurrency, fewer requests or fewer sessions than workers, some workers get no share.
    """
    if job.concurrency is not None:
        workers = min(workers, job.concurrency)
    if job.stop.requests is not None:
        workers = min(workers, max(1, job.stop.requests))
    if job.stop.sessions is not None:
        workers = min(workers, max(1, job.stop.sessions))
    return [
        attrs.evolve(
            job,
            worker=number,
            workers=workers,
            concurrency=_share(job.concurrency, number, workers),
            stop=Stop(
                duration_s=job.stop.duration_s,
                requests=_share(job.stop.requests, number, workers),
                sessions=_share(job.stop.sessions, number, workers),
                min_requests=_share(job.stop.min_requests, number, workers),
            ),
        )
        for number in range(workers)
    ]


def _most_sessions(job: LoadJob, arrivals: array[int] | None) -> int | None:
    """The most sessions that a phase can need; None if unknown."""
    if arrivals is not None:
        return len(arrivals)
    if job.stop.sessions is not None:
        return job.stop.sessions
    requests = job.stop.requests
    return None if requests is None else requests + (job.concurrency or 0)


def _share(whole: int | None, number: int, workers: int) -> int | None:
    return None if whole is None else whole // workers + (number < whole % workers)
