"""One point: warm-up, repeats, scrapes around each, and the result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from tokenbench.api import (
    EngineError,
    LoadLevel,
    PointResult,
    PointState,
    Stop,
)
from tokenbench.load.arrivals import arrival_times, read_stamps
from tokenbench.load.crew import LoadCrew
from tokenbench.load.job import LoadJob
from tokenbench.load.records import PhaseSummary
from tokenbench.measure.slo import Slo
from tokenbench.measure.thresholds import Thresholds
from tokenbench.plan.canonical import derive_seed
from tokenbench.plan.model import PlannedDeployment
from tokenbench.plan.series import PlannedPoint
from tokenbench.store.files import guarded
from tokenbench.store.layout import RunDirectory
from tokenbench.telemetry.collect import Telemetry

from .prompts import Traffic, sessions_needed
from .serving import Serving
from .sink import Sink, Step

if TYPE_CHECKING:
    from tokenbench.measure.evidence import Evidence


@attrs.frozen(kw_only=True)
class Bench:
    """What a point is measured with."""

    directory: RunDirectory
    deployment: PlannedDeployment
    serving: Serving
    crew: LoadCrew
    telemetry: Telemetry | None
    accelerated: bool
    sink: Sink
    note: Callable[[str], None]
    interrupted: Callable[[], bool]
    run_seed: int
    slo: Slo | None
    thresholds: Thresholds
    trace: str | None
    stall_timeout_s: float
    request_timeout_s: float
    codec_plugin: str | None = None
    power_limited: bool | None = None


def measure_point(
    bench: Bench, point: PlannedPoint, traffic: Traffic, step: Callable[[str, PlannedPoint], Step]
) -> PointResult:
    """Measure one point to its end, or as far as it goes.

    A stall, a dead server or an interruption ends it early; its state says so, and what was
    measured until then is kept.
    """
    turns_per_s: float | None = None
    seen: list[Evidence] = []
    state, error = PointState.DONE, None
    if point.warmup_requests:
        warmup = attrs.evolve(
            point,
            level=LoadLevel(concurrency=point.slots),
            stop=Stop(requests=point.warmup_requests),
        )
        bench.sink.step(step("warm-up", warmup))
        summary = _phase(bench, warmup, traffic, "warmup", None)
        turns_per_s = summary.turns / summary.wall_s if summary.wall_s else None
        state, error = _state(bench, summary)
    # With numpy, which takes a tenth of a second to import: not before the first request.
    from .assess import evidence, result

    for repeat in range(point.repeats):
        if state is not PointState.DONE:
            break
        bench.sink.step(step(f"repeat {repeat + 1}/{point.repeats}", point))
        if not bench.serving.settle():
            bench.note(
                f"{point.level.label}: the server was busy, or kept its cache, before a repeat"
            )
        before = bench.serving.counters()
        summary = _phase(bench, point, traffic, f"repeat-{repeat}", turns_per_s)
        state, error = _state(bench, summary)
        after = None
        if state is PointState.DONE:
            bench.serving.settle()
            after = bench.serving.counters()
        seen.append(evidence(bench, point, f"repeat-{repeat}", before, after))
    return result(bench, point, seen, state, error)


def _phase(
    bench: Bench, point: PlannedPoint, traffic: Traffic, phase: str, turns_per_s: float | None
) -> PhaseSummary:
    folder = bench.directory.phase(point.id, phase)
    level = point.level
    seed = derive_seed(bench.run_seed, point.workload.name, level.label, phase)
    arrivals = None
    if level.rate_per_s is not None:
        stamps = read_stamps(Path(bench.trace)) if bench.trace is not None else ()
        arrivals = arrival_times(level, point.stop, derive_seed(seed, "arrivals"), stamps)
        count = len(arrivals)
    else:
        count = sessions_needed(point.stop, point.slots, turns_per_s)
    with guarded(folder / "sessions"):
        job = LoadJob(
            url=bench.serving.url,
            codec=traffic.wire,
            codec_plugin=bench.codec_plugin,
            model=bench.serving.target().model,
            dialect=bench.serving.dialect,
            sessions="",
            output=str(folder),
            stop=point.stop,
            concurrency=level.concurrency,
            rate_per_s=level.rate_per_s,
            request_timeout_s=bench.request_timeout_s,
            stall_timeout_s=bench.stall_timeout_s,
            drain_timeout_s=bench.request_timeout_s,
            api_key_env=bench.serving.api_key_env,
        )
        return bench.crew.run(
            job,
            traffic.sessions(seed, count),
            arrivals,
            on_progress=bench.sink.progress,
            interrupted=bench.interrupted,
            alive=bench.serving.alive,
        )


def _state(bench: Bench, summary: PhaseSummary) -> tuple[PointState, str | None]:
    """How a phase ended: as planned, or cut by the server, the user, a stall or the disk."""
    death = bench.serving.found_dead()
    if death is not None:
        return PointState.FAILED, f"the engine died: {death}"
    if bench.interrupted():
        return PointState.INTERRUPTED, "interrupted by the user"
    if summary.stopped_by == "stalled":
        return (
            PointState.STALLED,
            f"no token on any stream for {bench.stall_timeout_s:g} s",
        )
    return PointState.DONE, None


def engine_died(result: PointResult, log: Path) -> EngineError | None:
    """The error that a point's end means for the run, if it means one."""
    if result.state is PointState.FAILED:
        return EngineError(
            result.error or "the engine died", hint="the end of its log says why", log=log
        )
    return None
