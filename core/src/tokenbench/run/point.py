"""One point: warm-up, repeats with counters scraped around each, and the result."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import attrs

from tokenbench.api import Interrupted, LoadLevel, PointResult, PointState, Session, Stop
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
from .running_server import RunningServer
from .scrape import Scrape
from .watch import Observed, RepeatWatch

if TYPE_CHECKING:
    from tokenbench.measure.evidence import Evidence
    from tokenbench.measure.percentiles import Metrics


@attrs.frozen(kw_only=True)
class PointContext:
    """Everything that the points of a deployment share."""

    directory: RunDirectory
    deployment: PlannedDeployment
    server: RunningServer
    workers: WorkerGroup
    telemetry: Telemetry
    display: ProgressDisplay
    note: Callable[[str], None]
    interrupted: Callable[[], bool]
    run_seed: int
    load: ResolvedLoad
    thresholds: CertificationThresholds
    watched_cores: tuple[int, ...]
    codec_module: str | None = None
    codec_owner: str | None = None
    below_limit: Mapping[str, tuple[float, float]] = attrs.field(factory=dict)
    idle_power: Metrics = attrs.field(factory=dict)


def measure_point(
    context: PointContext,
    point: PlannedPoint,
    traffic: Traffic,
    step: Callable[[str, PlannedPoint], Step],
) -> tuple[PointResult, PhaseEnd]:
    """Measure one point; returns also how its last phase ended.

    A stall, a dead server, an interruption, or a phase in which every request fails ends it early.
    Then its state says so, and completed repeats are kept.
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
        _settle(context, point)
        not_primed = None
        if context.load.request.prime_cache:
            end, not_primed = _prime(context, point, traffic, name)
            if end.state is not PointState.DONE:
                break
        before = _scrape(context)
        with RepeatWatch(context.server, context.watched_cores, context.interrupted) as watch:
            summary = _phase(context, point, traffic, name)
        end = _end(context, summary, f"repeat {len(seen) + 1}")
        after = Scrape()
        if end.state is PointState.DONE:
            context.server.settle()
            after = _scrape(context)
        observed = Observed(
            before=before,
            after=after,
            foreign=watch.foreign,
            scrapes=watch.scrapes,
            not_primed=not_primed,
        )
        seen.append(evidence(context, point, name, observed, traffic))
    return result(context, point, seen, end.state, end.text), end


def _settle(context: PointContext, point: PlannedPoint) -> None:
    """Wait until the server is idle and empty its cache. Adds a note if that failed."""
    if (failed := context.server.settle()) is not None:
        context.note(f"{point.level.label}: {failed} before a repeat")
    can = context.server.spec.capabilities.reset_cache
    if context.load.request.prefix_caching and not can:
        context.note(
            f"the engine {context.deployment.asked.engine.name!r} cannot empty its prefix cache "
            "between repeats: prompts of earlier ones may be in it"
        )


def _prime(
    context: PointContext, point: PlannedPoint, traffic: Traffic, repeat: str
) -> tuple[PhaseEnd, str | None]:
    """Send the prefixes of a repeat's prompts once, and leave them in the cache.

    Returns also what is missing in the cache because requests failed.
    """
    number = repeat.removeprefix("repeat-")
    level = LoadLevel(concurrency=point.concurrency)
    priming = attrs.evolve(point, level=level, stop=Stop())
    seed = _seed(context, point, repeat)
    context.display.note("filling the prefix cache", load=point.level.label, repeat=int(number) + 1)
    summary = _load(context, priming, traffic, f"priming-{number}", traffic.priming(seed), None)
    context.server.settle(empty_cache=False)
    end, not_primed = _end(context, summary, "the priming of the cache"), None
    if summary.failed:
        not_primed = f"{summary.failed} of {summary.turns} prefixes are not in the cache"
        not_primed += f", first: {summary.errors[0]}"
    return end, not_primed


def _scrape(context: PointContext) -> Scrape:
    try:
        return interruptible(context.server.scrape, context.interrupted)
    except Interrupted as error:
        return Scrape(error=error.message)


def _wanted(context: PointContext, point: PlannedPoint, seen: list[Evidence]) -> bool:
    """Whether another repeat is needed for the minimum number or for the asked precision."""
    repeats = point.repeats
    if not repeats.at_least <= len(seen) < repeats.at_most:
        return len(seen) < repeats.at_least
    from tokenbench.measure.estimates import estimates
    from tokenbench.measure.precision import needs_repeat, widest

    metrics = estimates(seen)
    if (found := widest(seen, metrics, context.thresholds)) is not None:
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
    level, request = point.level, context.load.request
    seed = _seed(context, point, phase)
    arrivals = None
    if level.concurrency is None:
        timestamps = context.load.timestamps
        if level.speed is not None:
            timestamps = traffic.workload.arrivals_s()
        arrivals = arrival_times(level, point.stop, derive_seed(seed, "arrivals"), timestamps)
    inside = level.concurrency if request.begin_inside and phase != "warmup" else None
    primed = request.prime_cache and phase != "warmup"
    sessions = traffic.sessions(seed, primed=primed, begin_inside=inside or 0)
    return _load(context, point, traffic, phase, sessions, arrivals)


def _seed(context: PointContext, point: PlannedPoint, phase: str) -> int:
    return derive_seed(context.run_seed, point.workload.name, point.level.label, phase)


def _load(
    context: PointContext,
    point: PlannedPoint,
    traffic: Traffic,
    phase: str,
    sessions: Iterator[Session],
    arrivals: array[int] | None,
) -> PhaseSummary:
    folder, level = context.directory.new_phase(point.id, phase), point.level
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
            rate_per_s=_mean_rate(level, arrivals),
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
            sessions,
            arrivals,
            workers=point.load_workers,
            on_progress=context.display.progress,
            interrupted=context.interrupted,
            alive=context.server.alive,
        )


def _mean_rate(level: LoadLevel, arrivals: array[int] | None) -> float | None:
    """Arrivals per second of an open loop, by which prompts are prepared ahead."""
    if level.speed is None or arrivals is None or len(arrivals) < 2 or not arrivals[-1]:
        return level.rate_per_s
    return (len(arrivals) - 1) / (arrivals[-1] / 1e9)


def _end(context: PointContext, summary: PhaseSummary, phase: str) -> PhaseEnd:
    return phase_end(
        context.server,
        summary,
        phase,
        interrupted=context.interrupted(),
        stall_s=context.load.request.stall_timeout_s,
    )
