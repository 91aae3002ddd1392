"""``bench plan``: what would run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from .request import plan_request, suite_options
from .streams import Command, echo

if TYPE_CHECKING:
    from tokenbench.api import EngineRequest, ProcessSpec, Stop
    from tokenbench.plan.plan import Plan, PlannedDeployment
    from tokenbench.plan.series import PlannedPoint


@click.command("plan", cls=Command)
@suite_options
@click.option("--explain", is_flag=True, help="Show where each setting comes from.")
@click.option("--commands", is_flag=True, help="Print only the commands of all processes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    obj: dict[str, Any], asked: dict[str, Any], explain: bool, commands: bool, as_json: bool
) -> None:
    """Show what `bench run` would do with the same arguments, without doing it."""
    plan, _ = plan_request(asked, obj["without"], by_catalogue=True)
    if as_json:
        echo(json.dumps(plan.data(), indent=2))
        return
    if commands:
        for deployment in plan.deployments:
            _show_commands(deployment)
        return
    for deployment in plan.deployments:
        _show(plan, deployment, explain)
    cores = plan.cores
    echo(f"load workers on cores {_list(cores.workers)}, engine on cores {_list(cores.engine)}")
    for note in plan.notes:
        echo(f"note: {note}")
    evals = sum(len(d.evals) for d in plan.deployments)
    deployments = _count(len(plan.deployments), "deployment")
    echo(f"{_count(plan.points, 'point')} on {deployments}, {_count(evals, 'eval')}")


def _count(number: int, of: str) -> str:
    return f"{number} {of}{'' if number == 1 else 's'}"


def _value(value: object) -> str:
    """Nested values, which files may have, as JSON."""
    nested = isinstance(value, Mapping | tuple) and any(
        isinstance(one, Mapping | tuple) for one in value
    )
    return json.dumps(value, default=dict) if nested else repr(value)


def _show(plan: Plan, deployment: PlannedDeployment, explain: bool) -> None:
    echo(f"deployment {deployment.id}  {deployment.label}  on {_hardware(deployment.request)}")
    for process in deployment.launch.processes:
        command = " ".join([*process.argv[1:], *_flags(process)])
        echo(f"  {process.role}{_wrapped(deployment, process)}: {command}")
    if not deployment.launch.processes:
        echo(f"  already running: {deployment.launch.endpoints[0].url}")
    if explain:
        for s in deployment.settings:
            value = f" = {_value(s.value)}"
            if s.kind in ("device", "group"):
                value = ""
            elif s.value is None and s.kind != "file":
                value = ": left out"
            echo(f"    {s.role} {s.kind} {s.name}{value}  [{s.layer}: {s.source}]")
            for replaced in s.replaced:
                echo(f"      replaced {replaced}")
    for point in deployment.points:
        stop = point.stop
        options = ",".join(f"{k}={v}" for k, v in point.workload.options.items())
        workload = f"{point.workload.name}:{options}" if options else point.workload.name
        echo(
            f"  point {point.id}  {workload}  {point.level.label}  "
            f"{point.repeats} x {_length(stop)}, warm-up {point.warmup_requests} requests, "
            f"load workers: {_workers(point)}"
        )
    for planned in deployment.evals:
        threshold = planned.threshold
        least = "no threshold" if threshold is None else f"at least {threshold.minimum:g}"
        twin = f", twin ({'; '.join(planned.twin_settings)})" if planned.twin else ""
        kind = "gate" if planned.gate else "eval"
        echo(f"  {kind} {planned.ref.name}  {least}{twin}")


def _length(stop: Stop) -> str:
    """The length of a repeat."""
    if stop.duration_s:
        return f"{stop.duration_s:g} s"
    counts = {"requests": stop.requests, "sessions": stop.sessions}
    parts = [f"{count} {what}" for what, count in counts.items() if count is not None]
    return " or ".join(parts) or "all arrivals"


def _hardware(request: EngineRequest) -> str:
    """``48 x gb200``; ``8 x h100, 4 x h200`` for pools with hardware of their own."""
    counts: dict[str, int] = {}
    for pool in request.layout.pools:
        sku = (pool.hardware or request.hardware).sku
        counts[sku] = counts.get(sku, 0) + pool.accelerators
    if len(counts) < 2:
        return f"{request.hardware.count} x {request.hardware.sku}"
    return ", ".join(f"{count} x {sku}" for sku, count in counts.items())


def _wrapped(deployment: PlannedDeployment, process: ProcessSpec) -> str:
    engine = deployment.launch.wraps.get(process.role)
    return "" if engine is None else f", worker of {engine}"


def _workers(point: PlannedPoint) -> str:
    if point.load_workers == point.load_workers_wanted:
        return str(point.load_workers)
    return f"{point.load_workers} ({point.load_workers_wanted} wanted, too few cores)"


def _list(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))


def _flags(process: ProcessSpec) -> list[str]:
    return [
        part
        for name, value in process.flags.items()
        for part in process.grammar.render(name, value)
    ]


def _content(name: str, content: Mapping[str, Any]) -> str:
    """A file of settings, as comments; symbols stay in braces."""
    from tokenbench.launch.symbols import render_file
    from tokenbench.plan.canonical import plain

    lines = render_file(name, plain(content), name).splitlines()
    return "\n".join(f"#   {line}" for line in lines)


def _show_commands(deployment: PlannedDeployment) -> None:
    """Each process as a shell would start it, one setting a line; symbols stay in braces."""
    for process in deployment.launch.processes:
        replicas = f" x {process.replicas}" if process.replicas > 1 else ""
        ranks = f" of {process.ranks} ranks" if process.ranks > 1 else ""
        wrapped = _wrapped(deployment, process)
        image = f", image {process.image}" if process.image else ""
        count = process.accelerators
        chips = f", {_count(count, 'accelerator')}" if count else ""
        each = " each" if chips and replicas else ""
        echo(f"# {process.role}{replicas}{ranks}{chips}{each}{wrapped}{image}")
        program = shlex.join([*process.wrap, *process.argv])
        settings = [
            shlex.join(rendered)
            for name, value in process.flags.items()
            if (rendered := process.grammar.render(name, value))
        ]
        variables = [f"{name}={shlex.quote(text)}" for name, text in process.environment.items()]
        echo(" \\\n  ".join([*variables, program, *settings]))
        for file in process.files:
            echo(f"# writes {file.name}")
            if not isinstance(file.content, str):
                echo(_content(file.name, file.content))
