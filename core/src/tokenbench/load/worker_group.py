"""The load workers of one deployment: a phase split among them, and put together again."""

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
from .session_file import write_sessions
from .worker_handle import Progress, WorkerHandle, run_phase


class WorkerGroup:
    """One worker a core. Use as a context manager, or :meth:`close` it.

    Args:
        cpus: the cores they may use; None: one worker, wherever it runs.
        logs: a folder for their logs.
    """

    def __init__(self, *, cpus: tuple[int, ...] | None, logs: Path) -> None:
        self._workers: list[WorkerHandle] = []
        places: list[tuple[int, ...] | None] = [(cpu,) for cpu in cpus] if cpus else [None]
        try:
            for number, place in enumerate(places):
                log = logs / f"load-worker{f'-{number}' if number else ''}.log"
                self._workers.append(WorkerHandle(cpus=place, log=log))
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
        """The worker processes."""
        return tuple(worker.pid for worker in self._workers)

    def run(
        self,
        job: LoadJob,
        sessions: Iterable[Session],
        arrivals: array[int] | None = None,
        *,
        on_progress: Callable[[Progress], None],
        interrupted: Callable[[], bool],
        alive: Callable[[], bool],
    ) -> PhaseSummary:
        """Run a phase; see :func:`tokenbench.load.worker_handle.run_phase`.

        Args:
            job: the whole phase. Its `output` gets the records; `sessions`, `arrivals` and the
                number of the worker are filled in here.
            arrivals: the schedule of an open loop.
        """
        folder = Path(job.output)
        shares = split(job, len(self._workers))
        files = [folder / f"sessions-{share.worker}.pickle" for share in shares]
        schedules = [folder / f"arrivals-{share.worker}.bin" for share in shares]
        try:
            codec = find_codec(job.codec, job.codec_module)
            target = Target(model=job.model, dialect=job.dialect)
            write_sessions(sessions, codec, target, files)
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
            )
        finally:
            for file in (*files, *schedules):
                file.unlink(missing_ok=True)

    def close(self) -> None:
        """End every worker. May be called twice."""
        with contextlib.ExitStack() as stack:
            for worker in self._workers:
                stack.callback(worker.close)


def split(job: LoadJob, workers: int) -> list[LoadJob]:
    """The shares of a phase: slots and counted limits are dealt out, the first ones get the rest.

    A closed loop of fewer slots than workers uses fewer workers.
    """
    if job.concurrency is not None:
        workers = min(workers, job.concurrency)
    if job.stop.requests is not None:
        workers = min(workers, max(1, job.stop.requests))
    shares = []
    for number in range(workers):
        slots = job.concurrency
        shares.append(
            attrs.evolve(
                job,
                worker=number,
                workers=workers,
                concurrency=None if slots is None else _share(slots, number, workers),
                stop=Stop(
                    duration_s=job.stop.duration_s,
                    requests=_part(job.stop.requests, number, workers),
                    least_requests=_part(job.stop.least_requests, number, workers),
                    output_tokens=_part(job.stop.output_tokens, number, workers),
                ),
            )
        )
    return shares


def _part(whole: int | None, number: int, workers: int) -> int | None:
    return None if whole is None else _share(whole, number, workers)


def _share(whole: int, number: int, workers: int) -> int:
    return whole // workers + (number < whole % workers)
