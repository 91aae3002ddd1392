"""Suite to plan. Pure but for probing the hardware, which the caller hands in."""

from __future__ import annotations

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
    Layout,
    ModelSpec,
    Pool,
    Recipe,
    ServingNeeds,
    UsageError,
    Weights,
)
from tokenbench.measure.definitions import DEFINITIONS_VERSION
from tokenbench.plugins.instances import PluginInstances
from tokenbench.plugins.requirements import check_requirements
from tokenbench.suite.schema import DeploymentRequest, PluginRef, Suite

from .amend import amendments_for
from .canonical import identity, plain
from .layers import Layer, amendment_layers, hardware_layer, merge, recipe_layers
from .plan import Plan, PlannedDeployment, PlannedEval
from .series import PlannedSeries, load_plan, server_concurrency, thresholds
from .size_limits import check_prompts, expected_requests

_SECRET_WORDS = frozenset({"KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "CREDENTIALS"})
Probe = Callable[[PluginRef, int], HardwareFacts]


def make_plan(suite: Suite, plugins: PluginInstances, probe: Probe) -> Plan:
    """The plan of a suite.

    Args:
        probe: gives the facts of the named hardware for so many accelerators.

    Raises:
        UsageError: the suite asks for what cannot be.
        PluginError: a plugin that it names is broken.
        HardwareAbsent: raised by `probe`.
    """
    check_requirements(suite.requires)
    thresholds(suite)
    for name in suite.use:
        plugins.spec(_kind_of(name, plugins), name)
    for reporter in suite.reporters:
        plugins.options("reporter", reporter)
    for index, asked in enumerate(suite.deployments):
        plugins.options("launcher", asked.launcher)
        _no_secret(asked, f"deployments[{index}]")
    deployments = tuple(
        _deployment(suite, index, asked, plugins, probe)
        for index, asked in enumerate(suite.deployments)
    )
    return Plan(suite=suite, deployments=deployments)


def _no_secret(asked: DeploymentRequest, where: str) -> None:
    """A key in a suite would stand in the plan, in results and in reports."""
    for name, value in asked.environment.items():
        if name.upper().rpartition("_")[2] in _SECRET_WORDS and "{secret:" not in value:
            raise UsageError(
                f"{where}.environment.{name} looks like a secret, and a suite is kept with results",
                hint=f'write "{{secret:{name}}}": it is taken from your own environment',
            )


def _kind_of(name: str, plugins: PluginInstances) -> str:
    """What `use` names: amendments, or observers."""
    plain_name = name.rpartition("/")[2]
    return "observer" if plain_name in plugins.registry.names("observer") else "amendment"


def _deployment(
    suite: Suite, index: int, asked: DeploymentRequest, plugins: PluginInstances, probe: Probe
) -> PlannedDeployment:
    where = f"deployments[{index}]"
    spec: EngineSpec = plugins.spec("engine", asked.engine.key)
    engine = plugins.engine(asked.engine)
    layout = (
        Layout(pools=asked.pools) if asked.pools else Layout(pools=(Pool(topology=asked.topology),))
    )
    _check_axes(spec, layout, where)
    model, weights = _model(asked, spec, plugins, where)
    facts = probe(asked.hardware, layout.accelerators)
    if spec.capabilities.hardware and facts.kind not in spec.capabilities.hardware:
        raise UsageError(
            f"{where}.hardware: the engine {spec.name!r} does not run on {facts.kind!r}",
            hint=f"it runs on: {', '.join(spec.capabilities.hardware)}",
        )
    request = EngineRequest(
        model=model.name if model else asked.engine.name,
        served_name=model.name if model else "default",
        weights=weights,
        architecture=model.architecture if model else Architecture(),
        hardware=facts,
        layout=layout,
        needs=_needs(suite, plugins),
    )
    amendments = amendments_for(plugins.registry, spec.name, request, engine.plan(request))
    layers = [
        hardware_layer(facts.kind, plugins.hardware(asked.hardware).environment()),
        *recipe_layers(_recipes(model, asked, facts, weights)),
        *amendment_layers(amendments),
        Layer(name="suite", source="suite", flags=asked.flags, environment=asked.environment),
    ]
    changes = [amendment for _, amendment in amendments]
    launch, settings = merge(engine.plan(request), spec.name, layers, changes)
    base = {
        "definitions": DEFINITIONS_VERSION,
        "engine": asked.engine.name,
        "engine_options": plugins.identity_values("engine", asked.engine),
        "engine_version": engine.planned_version(),
        "processes": [_canonical_process(p) for p in launch.processes],
        "hardware": facts,
        "layout": layout,
        "model": None if weights is None else [request.model, weights.precision, weights.revision],
        "seed": suite.seed,
    }

    def twin(needs: EvalNeeds) -> PlannedEval | None:
        return _twin(request, needs, lambda r: merge(engine.plan(r), spec.name, layers, changes)[0])

    return PlannedDeployment(
        id=identity(base),
        asked=asked,
        request=attrs.evolve(request, served_name=launch.served_name or request.served_name),
        launch=launch,
        settings=settings,
        series=tuple(_series(suite, plugins, base)),
        evals=tuple(_evals(suite, plugins, model, weights, twin)),
    )


def _canonical_process(process: Any) -> dict[str, Any]:
    """What of a process belongs to identity: not its ports' numbers, paths or the interpreter."""
    return {
        "role": process.role,
        "program": process.argv[1:],
        "flags": process.flags,
        "environment": process.environment,
        "files": process.files,
        "replicas": process.replicas,
        "image": process.image,
    }


def _check_axes(spec: EngineSpec, layout: Layout, where: str) -> None:
    for pool in layout.pools:
        if pool.role not in spec.capabilities.roles:
            raise UsageError(
                f"{where}.pools: the engine {spec.name!r} has no role {pool.role!r}",
                hint=f"its roles: {', '.join(spec.capabilities.roles)}",
            )
        for axis in ("tp", "pp", "ep", "dcp", "pcp", "dp_attention"):
            value = getattr(pool.topology, axis)
            if int(value) > (0 if axis == "dp_attention" else 1) and (
                axis not in spec.capabilities.axes
            ):
                raise UsageError(
                    f"{where}.topology.{axis}: the engine {spec.name!r} cannot do {axis}={value}",
                    hint=f"degrees it knows: {', '.join(spec.capabilities.axes) or 'none'}",
                )


def _model(
    asked: DeploymentRequest, spec: EngineSpec, plugins: PluginInstances, where: str
) -> tuple[ModelSpec | None, Weights | None]:
    if asked.model is None:
        if spec.capabilities.weight_formats:
            raise UsageError(
                f"{where}.model: the engine {spec.name!r} needs a model",
                hint=f"add --model; installed: {', '.join(plugins.registry.names('model')) or 'none'}",
            )
        return None, None
    model = plugins.model(asked.model)
    if not spec.capabilities.weight_formats:
        return model, None
    for weights in model.weights:
        if weights.format in spec.capabilities.weight_formats and (
            asked.precision in (None, weights.precision)
        ):
            return model, weights
    have = ", ".join(f"{w.precision} ({w.format})" for w in model.weights)
    raise UsageError(
        f"{where}.model: {model.name!r} has no weights"
        + (f" of precision {asked.precision!r}" if asked.precision else "")
        + f" that {spec.name!r} can load",
        hint=f"it has: {have or 'none'}",
    )


def _needs(suite: Suite, plugins: PluginInstances) -> ServingNeeds:
    contexts = [plugins.workload(ref).context_tokens() for ref in suite.workloads]
    known = [context for context in contexts if context is not None]
    return ServingNeeds(
        context_tokens=max(known) if known and len(known) == len(contexts) else None,
        concurrency=server_concurrency(suite.load),
    )


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


def _series(suite: Suite, plugins: PluginInstances, base: dict[str, Any]) -> list[PlannedSeries]:
    levels = load_plan(suite.load)
    found = []
    for ref in suite.workloads:
        workload = plugins.workload(ref)
        part = {
            **base,
            "workload": ref.name,
            "workload_options": plugins.identity_values("workload", ref),
            "dataset": workload.dataset_hash(),
        }
        series = PlannedSeries(
            workload=ref, load=suite.load, levels=levels, part=FrozenMap(plain(part))
        )
        for point in series.points:
            requests = max(point.warmup_requests, expected_requests(point.level, point.stop))
            check_prompts(ref, workload.context_tokens(), requests)
        found.append(series)
    return found


def _evals(
    suite: Suite,
    plugins: PluginInstances,
    model: ModelSpec | None,
    weights: Weights | None,
    twin: Callable[[EvalNeeds], PlannedEval | None],
) -> list[PlannedEval]:
    planned = []
    for ref in suite.evals:
        needs = plugins.evaluation(ref).needs()
        made = twin(needs)
        base = made if made is not None else PlannedEval(ref=ref, threshold=None)
        threshold = _threshold(model, weights, ref.name)
        planned.append(attrs.evolve(base, ref=ref, threshold=threshold))
    return planned


def _threshold(
    model: ModelSpec | None, weights: Weights | None, name: str
) -> AccuracyThreshold | None:
    for threshold in model.thresholds if model else ():
        if threshold.eval == name and (
            threshold.precision is None or (weights and threshold.precision == weights.precision)
        ):
            return threshold
    return None


def _twin(
    request: EngineRequest, needs: EvalNeeds, plan: Callable[[EngineRequest], Any]
) -> PlannedEval | None:
    """A server for an eval whose needs the measured one does not meet, or None."""
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
    launch = plan(other)
    if not launch.processes:
        # A server that is already up cannot be started a second time; the eval asks it as it is.
        return None
    return PlannedEval(
        ref=PluginRef("twin"),
        threshold=None,
        twin=launch,
        twin_request=attrs.evolve(other, served_name=launch.served_name or other.served_name),
        twin_settings=tuple(settings),
    )
