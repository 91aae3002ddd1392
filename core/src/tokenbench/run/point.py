"""One point: warm-up, repeats, scrapes around each, and the result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from tokenbench.api import (
    Check,
    Counters,
    EngineError,
    FrozenMap,
    LoadLevel,
    Measurement,
    PointResult,
    PointState,
    Stop,
)
from tokenbench.load.arrivals import arrival_times, read_stamps
from tokenbench.load.crew import LoadCrew
from tokenbench.load.job import LoadJob
from tokenbench.load.records import PhaseSummary
from tokenbench.measure.certify import certify
from tokenbench.measure.client_checks import client_coalesced_share
from tokenbench.measure.combine import combine
from tokenbench.measure.evidence import Evidence
from tokenbench.measure.outcome import verdict
from tokenbench.measure.repeat import Metrics, Slo, measure_repeat, steady_window
from tokenbench.measure.saturation import saturated
from tokenbench.measure.thresholds import Thresholds
from tokenbench.plan.canonical import derive_seed, plain
from tokenbench.plan.model import PlannedDeployment
from tokenbench.plan.series import PlannedPoint
from tokenbench.store.files import guarded, write_atomic
from tokenbench.store.layout import RunDirectory
from tokenbench.store.records import read_phase, read_raw, write_parquet
from tokenbench.telemetry.collect import Telemetry

from .power import clock_of_peers, energy_metrics, energy_of, series_of, throttled_share
from .prompts import Traffic, sessions_needed
from .serving import Serving
from .sink import Sink, Step


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
        seen.append(_evidence(bench, point, f"repeat-{repeat}", before, after))
    return _result(bench, point, seen, state, error)


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
    death = bench.serving.death()
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


def _evidence(
    bench: Bench,
    point: PlannedPoint,
    phase: str,
    before: Counters | None,
    after: Counters | None,
) -> Evidence:
    """Put the records on disk in their final form, then measure them."""
    folder = bench.directory.phase(point.id, phase)
    records, chunks = read_raw(folder)
    summary = read_phase(folder)
    scrapes = {"before": plain(before), "after": plain(after)}
    write_atomic(folder / "counters.json", json.dumps(scrapes, indent=2).encode())
    write_parquet(folder, records, chunks, summary)
    layout = bench.deployment.request.layout
    roles = (
        {pool.role: pool.accelerators for pool in layout.pools} if layout.disaggregated else None
    )
    accelerators = bench.deployment.request.hardware.count
    metrics = measure_repeat(
        records, chunks, summary, accelerators=accelerators, roles=roles, slo=bench.slo
    )
    evidence = Evidence(
        records=records,
        chunks=chunks,
        phase=summary,
        metrics=metrics,
        steady=steady_window(records, summary),
        before=before,
        after=after,
        caching_asked=bench.deployment.request.needs.prefix_caching,
        accelerated=bench.accelerated,
    )
    if client_coalesced_share(evidence) > bench.thresholds.coalesced_withhold_itl:
        withheld = {name: None for name in metrics if name.startswith("itl_")}
        evidence = attrs.evolve(evidence, metrics={**metrics, **withheld})
    return _with_power(bench, evidence)


def _with_power(bench: Bench, evidence: Evidence) -> Evidence:
    phase = evidence.phase
    if bench.telemetry is None:
        return evidence
    readings = bench.telemetry.readings(phase.started_ns, phase.ended_ns)
    series = series_of(readings)
    energy = energy_of(series, phase.started_ns, phase.ended_ns)
    domain = "accelerator" if bench.accelerated else "host"
    more: Metrics = energy_metrics(energy, evidence.metrics, domain)
    return attrs.evolve(
        evidence,
        metrics={**evidence.metrics, **more},
        longest_gap_s=energy.longest_gap_s,
        clock_of_peers=clock_of_peers(readings),
        power_limited=bench.power_limited,
        throttled_share=throttled_share(series, phase.started_ns, phase.ended_ns),
    )


def _result(
    bench: Bench,
    point: PlannedPoint,
    seen: list[Evidence],
    state: PointState,
    error: str | None,
) -> PointResult:
    deployment, serving = bench.deployment, bench.serving
    request = deployment.request
    metrics = combine([evidence.metrics for evidence in seen])
    checks: tuple[Check, ...] = certify(seen, metrics, bench.thresholds)
    measurement = verdict(checks)
    if state is not PointState.DONE or not seen:
        measurement = Measurement.INVALID
    options: dict[str, Any] = dict(point.canonical["workload_options"])
    return PointResult(
        point=point.id,
        run=bench.directory.id,
        deployment=deployment.id,
        engine=deployment.asked.engine.name,
        engine_version=serving.version,
        model=request.model,
        precision=request.weights.precision if request.weights else None,
        hardware=request.hardware.sku,
        accelerators=request.hardware.count,
        layout=_layout(request.layout),
        workload=point.workload.name,
        workload_options=_frozen(options),
        level=point.level,
        state=state,
        repeats=len(seen),
        metrics=metrics,
        measurement=measurement,
        checks=checks,
        saturated=saturated(seen[-1], bench.thresholds) if seen else None,
        error=error,
    )


def _frozen(options: dict[str, Any]) -> Any:
    return FrozenMap(
        {
            k: v if isinstance(v, str | int | float | bool | None) else str(v)
            for k, v in options.items()
        }
    )


def _layout(layout: Any) -> str:
    """``tp4``, ``prefill:2xtp4+decode:1xtp8``: only degrees above one are named."""
    parts = []
    for pool in layout.pools:
        t = pool.topology
        degrees = "".join(
            f"{axis}{getattr(t, axis)}"
            for axis in ("tp", "pp", "ep", "dcp", "pcp")
            if getattr(t, axis) > 1
        )
        degrees = (degrees or "tp1") + ("dpa" if t.dp_attention else "")
        parts.append(f"{pool.role}:{pool.replicas}x{degrees}" if layout.disaggregated else degrees)
    return "+".join(parts)


def engine_died(result: PointResult, log: Path) -> EngineError | None:
    """The error that a point's end means for the run, if it means one."""
    if result.state is PointState.FAILED:
        return EngineError(
            result.error or "the engine died", hint="the end of its log says why", log=log
        )
    return None
