"""Makes evidence from the records of a phase, and a result from the evidence of a point."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs

from tokenbench.api import (
    Check,
    Counters,
    EngineRequest,
    FrozenMap,
    Layout,
    Measurement,
    PointResult,
    PointState,
    Pool,
)
from tokenbench.measure.certify import certify
from tokenbench.measure.checks import verdict
from tokenbench.measure.client_checks import withhold_itl
from tokenbench.measure.estimates import class_estimates, estimates
from tokenbench.measure.evidence import Evidence
from tokenbench.measure.goodput import class_metrics
from tokenbench.measure.metrics import measure_repeat
from tokenbench.measure.percentiles import Metrics
from tokenbench.measure.saturation import saturated
from tokenbench.measure.server_metrics import server_metrics
from tokenbench.measure.window import steady_window, whole_window
from tokenbench.plan.canonical import plain
from tokenbench.plan.series import PlannedPoint
from tokenbench.store.counters import CountersRow, write_counters
from tokenbench.store.files import write_atomic
from tokenbench.store.layout import now
from tokenbench.store.records import read_phase, read_raw, read_sessions, write_parquet
from tokenbench.store.telemetry import write_telemetry
from tokenbench.telemetry.collect import row_of

from .device_facts import devices_in_short
from .devices import Window, power_metrics
from .watch import foreign_processes

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
    sessions = read_sessions(folder)
    summary = read_phase(folder)
    before, after = observed.before.counters, observed.after.counters
    scrapes = {"before": plain(before), "after": plain(after), "error": observed.error}
    write_atomic(folder / "counters.json", json.dumps(scrapes, indent=2).encode())
    write_counters(folder, _counter_rows(observed))
    write_parquet(folder, records, chunks, summary)
    roles = _roles(context.deployment.request.layout)
    accelerators = context.deployment.request.hardware.count
    metrics = measure_repeat(
        records,
        chunks,
        summary,
        accelerators=accelerators,
        roles=roles,
        objectives=context.load.objectives,
        sessions=sessions,
    )
    steady = steady_window(records, summary)
    windows = {"whole": whole_window(summary), "steady": steady}
    metrics |= server_metrics(before, after, observed.counters)
    metrics["retries"] = float(summary.retries)
    metrics["working_set_share.server"] = _of_capacity(metrics, before)
    found = Evidence(
        records=records,
        chunks=chunks,
        phase=summary,
        metrics=metrics,
        steady=steady,
        classes=class_metrics(records, summary.labels, context.load.objectives, windows),
        before=before,
        after=after,
        scrapes=observed.counters,
        scrape_error=observed.error,
        stop=point.stop,
        foreign_share=observed.foreign.share,
        foreign_busiest=observed.foreign.busiest,
        foreign_unknown=observed.foreign.unknown,
        prompt_form=traffic.prompt_form,
        approximate_lengths=context.load.request.lengths == "approximate",
        prefix_caching=context.deployment.request.needs.prefix_caching,
        not_primed=observed.not_primed,
        accelerated=context.deployment.accelerated,
    )
    return _with_telemetry(context, withhold_itl(found, context.thresholds), folder)


def _of_capacity(metrics: Metrics, counters: Counters | None) -> float | None:
    """The working set over what the KV cache holds."""
    working_set = metrics.get("working_set_tokens")
    capacity = None if counters is None else counters.kv_capacity_tokens
    return None if working_set is None or not capacity else working_set / capacity


def _counter_rows(observed: Observed) -> list[CountersRow]:
    """For each scrape, a row per process and, if there are several, one for all of them."""
    rows: list[CountersRow] = []
    for scrape in (observed.before, *observed.scrapes, observed.after):
        rows += [
            CountersRow(
                t_ns=scrape.t_ns,
                role=one.role,
                pool=one.endpoint.role,
                index=one.endpoint.index,
                rank=one.endpoint.rank,
                host=one.endpoint.host,
                counters=one.counters,
            )
            for one in scrape.processes
        ]
        if len(scrape.processes) > 1 and scrape.counters is not None:
            rows.append(CountersRow(t_ns=scrape.t_ns, counters=scrape.counters))
    return rows


def _with_telemetry(context: PointContext, evidence: Evidence, folder: Path) -> Evidence:
    """Add energy metrics and findings about the devices; store the samples with the repeat."""
    telemetry, phase = context.telemetry, evidence.phase
    readings = telemetry.readings(phase.started_ns, phase.ended_ns)
    write_telemetry(folder, [row_of(reading) for reading in readings])
    window = Window.of(readings, phase.started_ns, phase.ended_ns)
    devices = attrs.evolve(
        window.findings(telemetry.sources, context.thresholds),
        problems=telemetry.problems,
        below_limit=context.below_limit,
        foreign=foreign_processes(window.pids(telemetry.here), context.server),
        unseen=tuple(sorted({host for host, _ in telemetry.devices} - telemetry.here)),
    )
    more = {**power_metrics(window, evidence.metrics, devices), **context.idle_power}
    return attrs.evolve(evidence, metrics={**evidence.metrics, **more}, devices=devices)


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
    roles = _roles(request.layout)
    return PointResult(
        point=point.id,
        run=context.directory.id,
        deployment=deployment.id,
        engine=deployment.asked.engine.name,
        engine_version=server.version,
        model=request.model if deployment.asked.model else request.served_name,
        precision=request.weights.precision if request.weights else None,
        hardware=_hardware(request.layout.pools, request),
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
        devices=devices_in_short(
            [one for found in context.telemetry.devices.values() for one in found]
        ),
        roles=None if roles is None else FrozenMap(roles),
        role_hardware=_role_hardware(request),
        speculation=deployment.launch.speculation,
        classes=class_estimates(seen),
        date=now()[: len("2026-11-30")],
        error=error,
    )


def _hardware(pools: Sequence[Pool], request: EngineRequest) -> str:
    """The SKU; if pools differ, each SKU with its number of accelerators: ``8xh100+4xh200``."""
    found: Counter[str] = Counter()
    for pool in pools:
        found[(pool.hardware or request.hardware).sku] += pool.accelerators
    if len(found) == 1:
        return next(iter(found))
    return "+".join(f"{count}x{sku}" for sku, count in found.items())


def _role_hardware(request: EngineRequest) -> FrozenMap[str] | None:
    """The hardware of each role; None if it is the same for all."""
    layout = request.layout
    if not layout.disaggregated or "+" not in _hardware(layout.pools, request):
        return None
    roles = dict.fromkeys(pool.role for pool in layout.pools)
    return FrozenMap({role: _hardware(layout.of_role(role), request) for role in roles})


def _roles(layout: Layout) -> dict[str, int] | None:
    """Accelerators of each role; None unless prefill and decode run in separate pools."""
    if not layout.disaggregated:
        return None
    return {
        role: sum(pool.accelerators for pool in layout.of_role(role))
        for role in dict.fromkeys(pool.role for pool in layout.pools)
    }


def _saturated(context: PointContext, seen: list[Evidence]) -> bool | None:
    """Judged by the last repeat."""
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
    return "+".join(
        f"{pool.key}:{pool.replicas}x{pool.topology.label}"
        if layout.disaggregated
        else pool.topology.label
        for pool in layout.pools
    )
