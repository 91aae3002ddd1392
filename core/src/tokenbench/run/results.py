"""From the records of a phase to evidence, and from a point's repeats to its result."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs

from tokenbench.api import Check, FrozenMap, Measurement, PointResult, PointState
from tokenbench.measure.certify import certify
from tokenbench.measure.checks import verdict
from tokenbench.measure.client_checks import withhold_itl
from tokenbench.measure.estimates import estimates
from tokenbench.measure.evidence import Evidence
from tokenbench.measure.metrics import Metrics, measure_repeat, steady_window
from tokenbench.measure.saturation import saturated
from tokenbench.measure.server_metrics import server_metrics
from tokenbench.plan.canonical import plain
from tokenbench.plan.series import PlannedPoint
from tokenbench.store.files import write_atomic
from tokenbench.store.records import read_phase, read_raw, write_parquet

from .power import clock_of_peers, energy_metrics, energy_of, series_of, throttled_share

if TYPE_CHECKING:
    from .point import PointContext
    from .prompts import Traffic
    from .watch import Observed


def evidence(
    context: PointContext,
    point: PlannedPoint,
    phase: str,
    observed: Observed,
    traffic: Traffic,
) -> Evidence:
    """Convert the raw records on disk to Parquet, then measure them."""
    folder = context.directory.phase(point.id, phase)
    records, chunks = read_raw(folder)
    summary = read_phase(folder)
    before, after = observed.before.counters, observed.after.counters
    scrapes = {
        "before": plain(before),
        "after": plain(after),
        "during": plain(tuple(observed.scrapes)),
        "error": observed.error,
    }
    write_atomic(folder / "counters.json", json.dumps(scrapes, indent=2).encode())
    write_parquet(folder, records, chunks, summary)
    layout = context.deployment.request.layout
    roles = (
        {pool.role: pool.accelerators for pool in layout.pools} if layout.disaggregated else None
    )
    accelerators = context.deployment.request.hardware.count
    metrics = measure_repeat(
        records,
        chunks,
        summary,
        accelerators=accelerators,
        roles=roles,
        objectives=context.load.objectives,
    )
    metrics |= server_metrics(before, after, observed.scrapes)
    metrics["retries"] = float(summary.retries)
    found = Evidence(
        records=records,
        chunks=chunks,
        phase=summary,
        metrics=metrics,
        steady=steady_window(records, summary),
        before=before,
        after=after,
        scrapes=tuple(observed.scrapes),
        scrape_error=observed.error,
        stop=point.stop,
        foreign_share=observed.foreign.share,
        foreign_busiest=observed.foreign.busiest,
        foreign_unknown=observed.foreign.unknown,
        prompt_form=traffic.prompt_form,
        approximate_lengths=context.load.request.lengths == "approximate",
        prefix_caching=context.deployment.request.needs.prefix_caching,
        accelerated=context.deployment.accelerated,
    )
    return _with_power(context, withhold_itl(found, context.thresholds))


def _with_power(context: PointContext, evidence: Evidence) -> Evidence:
    phase = evidence.phase
    if context.telemetry is None:
        return evidence
    readings = context.telemetry.readings(phase.started_ns, phase.ended_ns)
    series = series_of(readings)
    energy = energy_of(series, phase.started_ns, phase.ended_ns)
    domain = "accelerator" if context.deployment.accelerated else "host"
    more: Metrics = energy_metrics(energy, evidence.metrics, domain)
    return attrs.evolve(
        evidence,
        metrics={**evidence.metrics, **more},
        longest_gap_s=energy.longest_gap_s,
        clock_of_peers=clock_of_peers(readings),
        power_limited=context.power_limited,
        throttled_share=throttled_share(series, phase.started_ns, phase.ended_ns),
    )


def result(
    context: PointContext,
    point: PlannedPoint,
    seen: list[Evidence],
    state: PointState,
    error: str | None,
) -> PointResult:
    """A point's metrics, checks and verdict, from the evidence of its repeats."""
    deployment, server = context.deployment, context.server
    request = deployment.request
    metrics = estimates(seen)
    checks: tuple[Check, ...] = certify(
        seen, metrics, context.thresholds, asked_precision=point.repeats.precision
    )
    measurement = verdict(checks)
    if state is not PointState.DONE or not seen:
        measurement = Measurement.INVALID
    options: dict[str, Any] = dict(point.canonical["workload_options"])
    return PointResult(
        point=point.id,
        run=context.directory.id,
        deployment=deployment.id,
        engine=deployment.asked.engine.name,
        engine_version=server.version,
        model=request.model if deployment.asked.model else request.served_name,
        precision=request.weights.precision if request.weights else None,
        hardware=request.hardware.sku,
        accelerators=request.hardware.count,
        layout=_layout(request.layout),
        workload=point.workload.name,
        workload_options=_frozen(options),
        level=point.level,
        load_workers=point.load_workers,
        server=None if deployment.launch.processes else urlsplit(server.url).netloc,
        state=state,
        repeats=len(seen),
        metrics=metrics,
        measurement=measurement,
        checks=checks,
        saturated=_saturated(context, seen),
        error=error,
    )


def _saturated(context: PointContext, seen: list[Evidence]) -> bool | None:
    """By the last repeat."""
    if not seen:
        return None
    return saturated(seen[-1], context.thresholds, scrapes=seen[-1].scrapes)


def _frozen(options: dict[str, Any]) -> Any:
    return FrozenMap(
        {
            k: v if isinstance(v, str | int | float | bool | None) else str(v)
            for k, v in options.items()
        }
    )


def _layout(layout: Any) -> str:
    """``tp4``, ``prefill:2xtp4+decode:1xtp8``: the degrees that are set."""
    parts = []
    for pool in layout.pools:
        degrees = pool.topology.degrees
        attention = "dpa" if degrees.pop("dp_attention", 0) else ""
        text = "".join(f"{axis}{degree}" for axis, degree in degrees.items()) or "tp1"
        parts.append(
            f"{pool.role}:{pool.replicas}x{text}{attention}"
            if layout.disaggregated
            else text + attention
        )
    return "+".join(parts)
