"""One point: warm-up, repeats with counters scraped around each, and the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from tokenbench.api import Interrupted, LoadLevel, PointResult, PointState, Stop
from tokenbench.guard.members import owner_text
from tokenbench.load.arrivals import arrival_times
from tokenbench.load.job import LoadJob
from tokenbench.load.records import PhaseSummary
from tokenbench.load.worker_group import WorkerGroup
from tokenbench.measure.thresholds import CertificationThresholds
from tokenbench.plan.canonical import derive_seed
from tokenbench.plan.load import ResolvedLoad
from tokenbench.plan.plan import PlannedDeployment
from tokenbench.plan.series import PlannedPoint
from tokenbench.store.files import guarded
from tokenbench.store.layout import RunDirectory
from tokenbench.telemetry.collect import Telemetry

from .interruptible import interruptible
from .phase_end import PhaseEnd, phase_end
from .progress import ProgressDisplay, Step
from .prompts import Traffic
from .running_server import RunningServer, Scrape
from .watch import Observed, RepeatWatch

if TYPE_CHECKING:
    from tokenbench.measure.evidence import Evidence


@attrs.frozen(kw_only=True)
class PointContext:
    """What all points of a deployment are measured with."""

    directory: RunDirectory
    deployment: PlannedDeployment
    server: RunningServer
    workers: WorkerGroup
    telemetry: Telemetry | None
    display: ProgressDisplay
    note: Callable[[str], None]
    interrupted: Callable[[], bool]
    run_seed: int
    load: ResolvedLoad
    thresholds: CertificationThresholds
    watched_cores: tuple[int, ...]
    codec_module: str | None = None
    codec_owner: str | None = None
    power_limited: bool | None = None


def measure_point(
    context: PointContext,
    point: PlannedPoint,
    traffic: Traffic,
    step: Callable[[str, PlannedPoint], Step],
) -> tuple[PointResult, PhaseEnd]:
    """Measure one point; returns also how its last phase ended.

    A stall, a dead server, an interruption, or a phase in which every request fails ends it early.
    Its state says so, and what was measured until then is kept.
    """
    seen: list[Evidence] = []
    end = PhaseEnd()
    if point.warmup_requests:
        warmup = attrs.evolve(
            point,
            level=LoadLevel(concurrency=point.concurrency),
            stop=Stop(requests=point.warmup_requests),
        )
        context.display.step(step("warm-up", warmup))
        summary = _phase(context, warmup, traffic, "warmup")
        end = _end(context, summary, "the warm-up")
    # Imports numpy, which takes 0.1 s: not before the first request.
    from .results import evidence, result

    while end.state is PointState.DONE and _wanted(context, point, seen):
        name, number = f"repeat-{len(seen)}", f"repeat {len(seen) + 1}/{point.repeats.at_most}"
        context.display.step(step(number, point))
        if (failed := context.server.settle()) is not None:
            context.note(f"{point.level.label}: {failed} before a repeat")
        before = _scrape(context)
        with RepeatWatch(context.server, context.watched_cores, context.interrupted) as watch:
            summary = _phase(context, point, traffic, name)
        end = _end(context, summary, f"repeat {len(seen) + 1}")
        after = Scrape()
        if end.state is PointState.DONE:
            context.server.settle()
            after = _scrape(context)
        observed = Observed(
            before=before, after=after, foreign=watch.foreign, scrapes=watch.scrapes
        )
        seen.append(evidence(context, point, name, observed, traffic))
    return result(context, point, seen, end.state, end.text), end


def _scrape(context: PointContext) -> Scrape:
    try:
        return interruptible(context.server.scrape, context.interrupted)
    except Interrupted as error:
        return Scrape(error=error.message)


def _wanted(context: PointContext, point: PlannedPoint, seen: list[Evidence]) -> bool:
    """Whether another repeat is needed: the point is not yet known to the asked precision."""
    repeats = point.repeats
    if not repeats.at_least <= len(seen) < repeats.at_most:
        return len(seen) < repeats.at_least
    from tokenbench.measure.estimates import estimates
    from tokenbench.measure.precision import needs_repeat, widest

    metrics = estimates(seen)
    if (found := widest(metrics, context.thresholds)) is not None:
        metric, width = found
        text = "unknown" if width is None else f"±{width * 100:.1f} %"
        context.display.note(
            "precision", load=point.level.label, repeats=len(seen), **{metric: text}
        )
    return needs_repeat(seen, metrics, context.thresholds, repeats.precision)


def _phase(
    context: PointContext,
    point: PlannedPoint,
    traffic: Traffic,
    phase: str,
) -> PhaseSummary:
    folder = context.directory.phase(point.id, phase)
    level = point.level
    seed = derive_seed(context.run_seed, point.workload.name, level.label, phase)
    arrivals = None
    if level.rate_per_s is not None:
        arrivals = arrival_times(
            level, point.stop, derive_seed(seed, "arrivals"), context.load.timestamps
        )
    with guarded(folder / "sessions"):
        job = LoadJob(
            url=context.server.url,
            codec=traffic.codec,
            codec_module=context.codec_module,
            model=context.server.target().model,
            dialect=context.server.dialect,
            sessions="",
            output=str(folder),
            stop=point.stop,
            concurrency=level.concurrency,
            rate_per_s=level.rate_per_s,
            request_timeout_s=context.load.request.request_timeout_s,
            stall_timeout_s=context.load.request.stall_timeout_s,
            drain_timeout_s=context.load.request.request_timeout_s,
            api_key_env=context.server.api_key_env,
            workload_owner=owner_text(traffic.workload),
            codec_owner=context.codec_owner,
            access=context.server.plan.access,
        )
        return context.workers.run(
            job,
            traffic.sessions(seed),
            arrivals,
            workers=point.load_workers,
            on_progress=context.display.progress,
            interrupted=context.interrupted,
            alive=context.server.alive,
        )


def _end(context: PointContext, summary: PhaseSummary, phase: str) -> PhaseEnd:
    return phase_end(
        context.server,
        summary,
        phase,
        interrupted=context.interrupted(),
        stall_s=context.load.request.stall_timeout_s,
    )
