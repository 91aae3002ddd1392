"""``bench plan``: what would run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from .request import plan_request, suite_options
from .streams import Command, echo

if TYPE_CHECKING:
    from tokenbench.plan.plan import Plan, PlannedDeployment
    from tokenbench.plan.series import PlannedPoint


@click.command("plan", cls=Command)
@suite_options
@click.option("--explain", is_flag=True, help="Each flag and variable with where it came from.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.pass_obj
def command(obj: dict[str, Any], asked: dict[str, Any], explain: bool, as_json: bool) -> None:
    """Show what `bench run` would do with the same arguments, without doing it."""
    plan, _ = plan_request(asked, obj["without"], by_catalogue=True)
    if as_json:
        echo(json.dumps(plan.data(), indent=2))
        return
    for deployment in plan.deployments:
        _show(plan, deployment, explain)
    cores = plan.cores
    echo(f"load workers on cores {_list(cores.workers)}, engine on cores {_list(cores.engine)}")
    for note in plan.notes:
        echo(f"note: {note}")
    evals = sum(len(d.evals) for d in plan.deployments)
    echo(f"{plan.points} points on {len(plan.deployments)} deployments, {evals} evals")


def _show(plan: Plan, deployment: PlannedDeployment, explain: bool) -> None:
    request = deployment.request
    facts = request.hardware
    echo(f"deployment {deployment.id}  {deployment.label}  on {facts.count} x {facts.sku}")
    for process in deployment.launch.processes:
        shown = (_flag(name, value) for name, value in process.flags.items())
        flags = " ".join(text for text in shown if text)
        echo(f"  {process.role}: {' '.join(process.argv[1:])} {flags}".rstrip())
    if not deployment.launch.processes:
        echo(f"  already up: {deployment.launch.endpoints[0].url}")
    if explain:
        for s in deployment.settings:
            echo(f"    {s.role} {s.kind} {s.name} = {s.value!r}  [{s.layer}: {s.source}]")
            for replaced in s.replaced:
                echo(f"      replaced {replaced}")
    for point in deployment.points:
        stop = point.stop
        length = f"{stop.duration_s:g} s" if stop.duration_s else f"{stop.requests} requests"
        options = ",".join(f"{k}={v}" for k, v in point.workload.options.items())
        workload = f"{point.workload.name}:{options}" if options else point.workload.name
        echo(
            f"  point {point.id}  {workload}  {point.level.label}  "
            f"{point.repeats} x {length}, warm-up {point.warmup_requests} requests, "
            f"load workers: {_workers(point)}"
        )
    for planned in deployment.evals:
        gate = "no gate" if planned.threshold is None else f"at least {planned.threshold.minimum:g}"
        twin = f", twin ({'; '.join(planned.twin_settings)})" if planned.twin else ""
        echo(f"  eval {planned.ref.name}  {gate}{twin}")


def _workers(point: PlannedPoint) -> str:
    if point.load_workers == point.load_workers_wanted:
        return str(point.load_workers)
    return f"{point.load_workers} ({point.load_workers_wanted} wanted, too few cores)"


def _list(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))


def _flag(name: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return name
    return f"{name} {' '.join(map(str, value)) if isinstance(value, tuple) else value}"
