"""From a resolved suite to a plan, read downwards once.

For each deployment: hardware, model and weights, the request to the engine, its processes with all
layers of settings, identity, points, evals.
"""

from __future__ import annotations

from typing import Any

import attrs

from tokenbench.api import (
    Architecture,
    EngineRequest,
    EngineSpec,
    FrozenMap,
    HardwareFacts,
    LaunchPlan,
    Layout,
    ModelSpec,
    Pool,
    ProcessSpec,
    ServingNeeds,
    UsageError,
    Weights,
)
from tokenbench.load.cores import CONCURRENCY_PER_WORKER, Cores, WorkerCount, split_cores
from tokenbench.measure.definitions import DEFINITIONS_VERSION
from tokenbench.plugins.instances import PluginInstances
from tokenbench.suite.limits import check_prompts, expected_requests
from tokenbench.suite.places import Places
from tokenbench.suite.schema import DeploymentRequest

from .canonical import identity, plain
from .capabilities import (
    check_hardware,
    check_keys,
    check_launch,
    check_spread,
    check_wrapped,
)
from .evals import plan_evals
from .hardware import PlannedHardware, plan_hardware
from .launch_inputs import check_inputs
from .model import canonical_model, parsers_of, select_model
from .numbering import Numbering
from .plan import Plan, PlannedDeployment
from .probe import Prober
from .resolve import ResolvedDeployment, ResolvedSuite
from .series import PlannedSeries
from .settings import planned_launch
from .traffic import check_first_requests, check_workload


def make_plan(
    resolved: ResolvedSuite,
    plugins: PluginInstances,
    *,
    concurrency_per_worker: int = CONCURRENCY_PER_WORKER,
    by_catalogue: bool = False,
) -> Plan:
    """Plan a suite for the hardware and the cores of this machine.

    Args:
        concurrency_per_worker: what one load worker can drive, from a calibration.
        by_catalogue: plan for accelerators of a SKU without looking for them on this machine.

    Raises:
        UsageError: an engine, a model or a machine cannot do what is asked.
        PluginError: a plugin failed.
        HardwareAbsent: the hardware is not here.
    """
    load = resolved.load
    count = load.workers(concurrency_per_worker)
    levels = [load.concurrency(level) for level in load.levels.known()]
    cores = split_cores(count, max([*levels, load.server_concurrency]))
    prober, taken = Prober(plugins), Numbering()
    return Plan(
        resolved=resolved,
        deployments=tuple(
            _deployment(resolved, deployment, plugins, prober, cores, count, taken, by_catalogue)
            for deployment in resolved.deployments
        ),
        cores=cores,
    )


def _deployment(
    resolved: ResolvedSuite,
    deployment: ResolvedDeployment,
    plugins: PluginInstances,
    prober: Prober,
    cores: Cores,
    count: WorkerCount,
    taken: Numbering,
    by_catalogue: bool,
) -> PlannedDeployment:
    asked, places = deployment.request, resolved.places
    spec: EngineSpec = plugins.spec("engine", asked.engine.key)
    check_keys(deployment, plugins, places)
    model, weights = select_model(asked, spec, plugins, deployment.path, places)
    hardware = deployment.hardware.plugin
    accelerated = plugins.spec("hardware", hardware.key).accelerated
    remote = not plugins.spec("launcher", asked.launcher.key).this_machine
    _check_remote(deployment, remote, accelerated, places)
    planned, layout = _hardware(resolved, deployment, accelerated, prober, by_catalogue, remote)
    facts = planned.facts
    check_hardware(deployment, plugins, places)
    request = _request(resolved, asked, layout, model, weights, facts, plugins)
    check_spread(request, deployment, spec, places)
    with places.told(f"{deployment.path}.engine", deployment.path_of):
        launch, settings, start, unaffected = planned_launch(
            request, deployment, model, weights, plugins, places
        )
        check_wrapped(deployment, launch, plugins, places)
        check_inputs(launch)
        version = _version(plugins, asked, elsewhere=remote and bool(launch.processes))
        canonical = _canonical(request, launch)
    check_launch(deployment, launch, plugins, places)
    base = {
        "engine": asked.engine.name,
        "engine_options": plugins.identity_values("engine", asked.engine),
        "engine_version": version,
        "seed": resolved.suite.seed,
        **canonical,
    }
    number = taken.number(identity(base))
    if number > 1:  # Differs only in what is not part of identity, for example its address.
        base["number"] = number
    series = _series(resolved, plugins, base, cores, count)  # Points have the number, too.
    check_first_requests(resolved, deployment, request, launch, plugins)
    return PlannedDeployment(
        id=identity(base),
        asked=asked,
        request=attrs.evolve(request, served_name=launch.served_name or request.served_name),
        hardware=hardware,
        pool_hardware=tuple(one.plugin for one in deployment.pool_hardware.values()),
        probe=planned.probe,
        devices=planned.devices,
        accelerated=accelerated,
        launch=launch,
        settings=settings,
        series=series,
        evals=plan_evals(resolved, asked, plugins, model, weights, request, launch, start),
        number=number,
        notes=(*planned.notes, *unaffected),
    )


def _version(plugins: PluginInstances, asked: DeploymentRequest, *, elsewhere: bool) -> str | None:
    """The engine's version, if it is known. This machine says nothing about those elsewhere."""
    return None if elsewhere else plugins.engine(asked.engine).planned_version()


def _check_remote(
    deployment: ResolvedDeployment, remote: bool, accelerated: bool, places: Places
) -> None:
    """Accelerators of other hosts need a SKU: other hosts are not probed while planning."""
    asked = deployment.request
    if remote and accelerated and deployment.hardware.sku is None:
        raise UsageError(
            f"{places(f'{deployment.path}.hardware')}: the launcher {asked.launcher.name!r} uses "
            "other hosts, so their accelerators must be named",
            hint="for example --hardware h200:16; `bench hardware list` shows the SKUs",
        )
    if remote and asked.devices:
        raise UsageError(
            f"{places(f'{deployment.path}.devices')}: devices of other hosts cannot be chosen",
            hint=f"leave devices out; the launcher {asked.launcher.name!r} chooses them",
        )


def _hardware(
    resolved: ResolvedSuite,
    deployment: ResolvedDeployment,
    accelerated: bool,
    prober: Prober,
    by_catalogue: bool,
    remote: bool,
) -> tuple[PlannedHardware, Layout]:
    """The deployment's hardware, and its layout with the hardware of each pool."""
    pools, notes = [], list[str]()
    for index, pool in enumerate(deployment.layout.pools):
        own = deployment.pool_hardware.get(pool.key)
        if own is not None:
            planned = plan_hardware(
                own,
                prober,
                accelerated=True,
                accelerators=pool.accelerators,
                by_catalogue=True,
                elsewhere=remote,
                place=resolved.places(f"{deployment.path}.pools[{index}].hardware"),
            )
            notes += planned.notes
        pools.append(pool if own is None else attrs.evolve(pool, hardware=planned.facts))
    shared = sum(pool.accelerators for pool in pools if pool.hardware is None)
    found = plan_hardware(
        deployment.hardware,
        prober,
        accelerated=accelerated,
        accelerators=shared or pools[0].accelerators,
        by_catalogue=by_catalogue or remote or not shared,
        elsewhere=remote,
        chosen=deployment.request.devices,
        place=resolved.places(f"{deployment.path}.hardware"),
    )
    layout = Layout(pools=tuple(pools))
    facts = attrs.evolve(found.facts, count=layout.accelerators)
    return attrs.evolve(found, facts=facts, notes=(*found.notes, *notes)), layout


def _request(
    resolved: ResolvedSuite,
    asked: DeploymentRequest,
    layout: Layout,
    model: ModelSpec | None,
    weights: Weights | None,
    facts: HardwareFacts,
    plugins: PluginInstances,
) -> EngineRequest:
    contexts = [plugins.workload(ref).context_tokens() for ref in resolved.suite.workloads]
    known = [context for context in contexts if context is not None]
    return EngineRequest(
        model=model.name if model else asked.engine.name,
        served_name=model.name if model else "default",
        weights=weights,
        extra_weights=model.extra_weights if model else FrozenMap(),
        architecture=model.architecture if model else Architecture(),
        parsers=parsers_of(model, asked.engine.name),
        hardware=facts,
        layout=layout,
        needs=ServingNeeds(
            context_tokens=max(known) if known and len(known) == len(contexts) else None,
            concurrency=resolved.load.server_concurrency,
            prefix_caching=resolved.suite.load.prefix_caching,
        ),
    )


def _canonical(request: EngineRequest, launch: LaunchPlan) -> dict[str, Any]:
    """The parts of a server's identity besides the engine's name, options and version."""
    facts = request.hardware
    return {
        "definitions": DEFINITIONS_VERSION,
        "processes": [_canonical_process(p) for p in launch.processes],
        "hardware": {"kind": facts.kind, "sku": facts.sku, "count": facts.count},
        "layout": [_canonical_pool(pool) for pool in request.layout.pools],
        "model": canonical_model(request, launch),
    }


def _canonical_process(process: ProcessSpec) -> dict[str, Any]:
    """The parts of a process's identity: not port numbers, paths or the interpreter."""
    return {
        "role": process.role,
        "program": process.argv[1:],
        "flags": process.flags,
        "environment": process.environment,
        "files": process.files,
        "replicas": process.replicas,
        "image": process.image,
        **({"wrap": process.wrap} if process.wrap else {}),
        **({"ranks": process.ranks} if process.ranks > 1 else {}),
    }


def _canonical_pool(pool: Pool) -> dict[str, Any]:
    """The parts of a pool's identity: its hardware's names without their figures."""
    canonical = attrs.asdict(pool, recurse=False)
    if pool.hardware is not None:
        canonical["hardware"] = {"kind": pool.hardware.kind, "sku": pool.hardware.sku}
    return canonical


def _series(
    resolved: ResolvedSuite,
    plugins: PluginInstances,
    base: dict[str, Any],
    cores: Cores,
    count: WorkerCount,
) -> tuple[PlannedSeries, ...]:
    found, taken = [], Numbering()
    for index, ref in enumerate(resolved.suite.workloads):
        workload, spec = plugins.workload(ref), plugins.spec("workload", ref.key)
        with resolved.places.told(f"workloads[{index}]"):
            check_workload(ref.name, spec, workload, resolved.suite.load)
        part = {
            **base,
            "workload": ref.name,
            "workload_options": plugins.identity_values("workload", ref),
            "dataset": workload.dataset_hash(),
        }
        if (number := taken.number(identity(part))) > 1:
            part["workload_number"] = number
        series = PlannedSeries(
            name=taken.name(ref.name),
            workload=ref,
            load=resolved.load,
            part=FrozenMap(plain(part)),
            cores=cores,
            workers=count,
            unit="session" if spec.multi_turn else "request",
        )
        for point in series.points:
            requests = max(point.warmup_requests, expected_requests(point.level, point.stop))
            with resolved.places.told(f"workloads[{index}]"):
                check_prompts(ref.name, workload.context_tokens(), requests)
        found.append(series)
    return tuple(found)
