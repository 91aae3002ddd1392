"""From a resolved suite to a plan, read downwards once.

For each deployment: hardware, model and weights, the request to the engine, its processes with all
layers of settings, identity, points, evals.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

import attrs

from tokenbench.api import (
    AccuracyThreshold,
    Architecture,
    EngineRequest,
    EngineSpec,
    EvalNeeds,
    FrozenMap,
    HardwareFacts,
    LaunchPlan,
    Layout,
    ModelSpec,
    PluginError,
    ProcessSpec,
    Recipe,
    ServingNeeds,
    UsageError,
    Weights,
)
from tokenbench.load.cores import CONCURRENCY_PER_WORKER, Cores, WorkerCount, split_cores
from tokenbench.measure.definitions import DEFINITIONS_VERSION
from tokenbench.plugins.instances import PluginInstances
from tokenbench.suite.limits import check_prompts, expected_requests
from tokenbench.suite.places import Places
from tokenbench.suite.schema import DeploymentRequest, PluginRef

from .amend import amendments_for
from .canonical import identity, plain
from .capabilities import check_hardware, check_keys, check_port
from .hardware import PlannedHardware, plan_hardware
from .launch_check import check_launch
from .launch_inputs import check_inputs
from .layers import Layer, Setting, amendment_layers, hardware_layer, merge, recipe_layers
from .plan import EvalTwin, Plan, PlannedDeployment, PlannedEval
from .probe import Prober
from .resolve import ResolvedDeployment, ResolvedSuite
from .series import PlannedSeries
from .traffic import check_first_requests


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


class Numbering:
    """Counts how often a key was used, so that no two things of one run share a key."""

    def __init__(self) -> None:
        self._used: collections.Counter[str] = collections.Counter()

    def number(self, key: str) -> int:
        """1 for the first use of `key`, 2 for the second, and so on."""
        self._used[key] += 1
        return self._used[key]

    def name(self, key: str) -> str:
        """The key itself, then ``key-2`` and so on."""
        number = self.number(key)
        return key if number == 1 else f"{key}-{number}"


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
    asked, layout, places = deployment.request, deployment.layout, resolved.places
    spec: EngineSpec = plugins.spec("engine", asked.engine.key)
    check_keys(deployment, plugins, places)
    model, weights = _model(asked, spec, plugins, deployment.path, places)
    hardware = deployment.hardware.plugin
    accelerated = plugins.spec("hardware", hardware.key).accelerated
    planned = _hardware(resolved, deployment, accelerated, prober, by_catalogue)
    facts = planned.facts
    check_hardware(deployment, plugins, places)
    request = _request(resolved, asked, layout, model, weights, facts, plugins)
    with places.told(f"{deployment.path}.engine"):
        launch, settings, start = _launch(request, deployment, model, weights, plugins)
        check_inputs(launch)
        version = plugins.engine(asked.engine).planned_version()
    check_port(asked, launch, deployment, places)
    base = {
        "definitions": DEFINITIONS_VERSION,
        "engine": asked.engine.name,
        "engine_options": plugins.identity_values("engine", asked.engine),
        "engine_version": version,
        "processes": [_canonical_process(p) for p in launch.processes],
        "hardware": facts,
        "layout": layout,
        "model": None if weights is None else [request.model, weights.precision, weights.revision],
        "seed": resolved.suite.seed,
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
        probe=planned.probe,
        devices=planned.devices,
        accelerated=accelerated,
        launch=launch,
        settings=settings,
        series=series,
        evals=_evals(resolved, plugins, model, weights, request, launch, start),
        number=number,
        notes=planned.notes,
    )


def _hardware(
    resolved: ResolvedSuite,
    deployment: ResolvedDeployment,
    accelerated: bool,
    prober: Prober,
    by_catalogue: bool,
) -> PlannedHardware:
    return plan_hardware(
        deployment.hardware,
        prober,
        accelerated=accelerated,
        accelerators=deployment.layout.accelerators,
        by_catalogue=by_catalogue,
        place=resolved.places(f"{deployment.path}.hardware"),
    )


def _model(
    asked: DeploymentRequest,
    spec: EngineSpec,
    plugins: PluginInstances,
    path: str,
    places: Places,
) -> tuple[ModelSpec | None, Weights | None]:
    if asked.model is None:
        if spec.capabilities.weight_formats:
            installed = ", ".join(plugins.registry.names("model")) or "none"
            raise UsageError(
                f"{places(f'{path}.model')}: the engine {spec.name!r} needs a model",
                hint=f"add --model; installed: {installed}",
            )
        return None, None
    with places.told(f"{path}.model"):
        model = plugins.model(asked.model)
    if not spec.capabilities.weight_formats:
        return model, None
    for weights in model.weights:
        if weights.format in spec.capabilities.weight_formats and (
            asked.weights in (None, weights.precision)
        ):
            return model, weights
    have = ", ".join(f"{w.precision} ({w.format})" for w in model.weights)
    raise UsageError(
        f"{places(f'{path}.weights' if asked.weights else f'{path}.model')}: "
        f"{model.name!r} has no weights"
        + (f" of precision {asked.weights!r}" if asked.weights else "")
        + f" that {spec.name!r} can load",
        hint=f"it has: {have or 'none'}",
    )


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
        architecture=model.architecture if model else Architecture(),
        hardware=facts,
        layout=layout,
        needs=ServingNeeds(
            context_tokens=max(known) if known and len(known) == len(contexts) else None,
            concurrency=resolved.load.server_concurrency,
            prefix_caching=resolved.suite.load.prefix_caching,
        ),
    )


def _launch(
    request: EngineRequest,
    deployment: ResolvedDeployment,
    model: ModelSpec | None,
    weights: Weights | None,
    plugins: PluginInstances,
) -> tuple[LaunchPlan, tuple[Setting, ...], Callable[[EngineRequest], LaunchPlan]]:
    """The engine's processes with all layers of settings, the origin of each setting, and a
    function that plans another request with the same layers.
    """
    asked, hardware = deployment.request, deployment.hardware.plugin
    name = asked.engine.name
    engine, facts = plugins.engine(asked.engine), request.hardware
    plan = engine.plan(request)
    check_launch(plugins.owner("engine", asked.engine.key), plan)
    amendments = amendments_for(plugins.registry, name, request, plan)
    layers = [
        hardware_layer(facts.kind, plugins.hardware(hardware).environment()),
        *recipe_layers(_recipes(model, asked, facts, weights)),
        *amendment_layers(amendments),
        Layer(name="suite", source="suite", flags=asked.flags, environment=asked.environment),
    ]
    changes = [amendment for _, amendment in amendments]
    launch, settings = merge(plan, name, layers, changes)
    return launch, settings, lambda other: merge(engine.plan(other), name, layers, changes)[0]


def _recipes(
    model: ModelSpec | None, asked: DeploymentRequest, facts: HardwareFacts, weights: Weights | None
) -> list[Recipe]:
    """Recipes that match, the general ones first so that the special ones win."""
    found = [
        recipe
        for recipe in (model.recipes if model else ())
        if recipe.engine == asked.engine.name
        and recipe.hardware in (None, facts.kind, facts.sku)
        and (recipe.precision is None or (weights and recipe.precision == weights.precision))
    ]
    return sorted(found, key=lambda r: (r.hardware is not None) + (r.precision is not None))


def _canonical_process(process: ProcessSpec) -> dict[str, Any]:
    """What of a process is part of identity: not port numbers, paths or the interpreter."""
    return {
        "role": process.role,
        "program": process.argv[1:],
        "flags": process.flags,
        "environment": process.environment,
        "files": process.files,
        "replicas": process.replicas,
        "image": process.image,
    }


def _series(
    resolved: ResolvedSuite,
    plugins: PluginInstances,
    base: dict[str, Any],
    cores: Cores,
    count: WorkerCount,
) -> tuple[PlannedSeries, ...]:
    found, taken = [], Numbering()
    for index, ref in enumerate(resolved.suite.workloads):
        workload = plugins.workload(ref)
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
        )
        for point in series.points:
            requests = max(point.warmup_requests, expected_requests(point.level, point.stop))
            with resolved.places.told(f"workloads[{index}]"):
                check_prompts(ref.name, workload.context_tokens(), requests)
        found.append(series)
    return tuple(found)


def _evals(
    resolved: ResolvedSuite,
    plugins: PluginInstances,
    model: ModelSpec | None,
    weights: Weights | None,
    request: EngineRequest,
    launch: LaunchPlan,
    start: Callable[[EngineRequest], LaunchPlan],
) -> tuple[PlannedEval, ...]:
    taken = Numbering()
    return tuple(
        PlannedEval(
            name=taken.name(ref.name),
            ref=ref,
            threshold=_threshold(model, weights, ref.name),
            twin=_twin(request, launch, _needs(ref, plugins), start),
        )
        for ref in resolved.suite.evals
    )


def _needs(ref: PluginRef, plugins: PluginInstances) -> EvalNeeds:
    """What an eval needs of a server; its codec exists."""
    needs = plugins.evaluation(ref).needs()
    plugins.codec(needs.codec)
    return needs


def _threshold(
    model: ModelSpec | None, weights: Weights | None, name: str
) -> AccuracyThreshold | None:
    for threshold in model.thresholds if model else ():
        if threshold.eval == name and (
            threshold.precision is None or (weights and threshold.precision == weights.precision)
        ):
            if model is not None and not 0 <= threshold.minimum <= 1:
                raise PluginError(
                    f"the model {model.name!r} wants a score of {threshold.minimum:g} in the eval "
                    f"{name!r}; scores are between 0 and 1",
                    hint="report it to the plugin's author",
                )
            return threshold
    return None


def _twin(
    request: EngineRequest,
    measured: LaunchPlan,
    needs: EvalNeeds,
    start: Callable[[EngineRequest], LaunchPlan],
) -> EvalTwin | None:
    """A second server for an eval whose needs the measured one does not meet, or None."""
    settings: list[str] = []
    wanted = request.needs
    have = wanted.context_tokens
    if needs.context_tokens is not None and have is not None and needs.context_tokens > have:
        settings.append(f"context_tokens: {have} -> {needs.context_tokens}")
        wanted = attrs.evolve(wanted, context_tokens=needs.context_tokens)
    if needs.logprobs and not wanted.logprobs:
        settings.append("logprobs: off -> on")
        wanted = attrs.evolve(wanted, logprobs=True)
    if not settings:
        return None
    other = attrs.evolve(request, needs=wanted)
    launch = start(other)
    if not launch.processes or launch == measured:
        # A server that is already up cannot be started a second time; the eval uses it as it is.
        # The same plan gives the same server: the suite or a recipe fixes what the need would set.
        return None
    return EvalTwin(
        launch=launch,
        request=attrs.evolve(other, served_name=launch.served_name or other.served_name),
        settings=tuple(settings),
    )
