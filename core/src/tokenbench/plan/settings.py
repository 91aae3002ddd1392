"""An engine's launch plan with the settings of all layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from tokenbench.api import (
    SERVER,
    Amendment,
    EngineRequest,
    HardwareFacts,
    LaunchPlan,
    ModelSpec,
    Recipe,
    UsageError,
    Weights,
)
from tokenbench.launch.start_order import start_order
from tokenbench.plugins.instances import PluginInstances
from tokenbench.suite.places import Places
from tokenbench.suite.schema import DeploymentRequest
from tokenbench.suite.shown import shown

from .amend import amendments_for
from .launch_check import check_launch
from .layers import Layer, Setting, amendment_layers, hardware_layers, merge, recipe_layers
from .resolve import ResolvedDeployment
from .symbols import check_symbols


def planned_launch(
    request: EngineRequest,
    deployment: ResolvedDeployment,
    model: ModelSpec | None,
    weights: Weights | None,
    plugins: PluginInstances,
    places: Places,
) -> tuple[LaunchPlan, tuple[Setting, ...], Callable[[EngineRequest], LaunchPlan], tuple[str, ...]]:
    """The engine's processes with all layers of settings, the origin of each setting, a function
    that plans another request with the same layers, and notes.

    Raises:
        UsageError: the suite or an amendment names a role or a file that the plan does not have.
    """
    asked, hardware = deployment.request, deployment.hardware.plugin
    name = asked.engine.name
    engine, facts = plugins.engine(asked.engine), request.hardware
    plan = engine.plan(request)
    _check_pool_names(plan, (), deployment, places)
    check_launch(plugins.owner("engine", asked.engine.key), plan)
    accelerated = plugins.spec("hardware", hardware.key).accelerated
    plan = _with_skus(plan, request, accelerated=accelerated)
    asked_of = amendments_for(plugins.registry, name, request, plan)
    amendments = [(one.plugin, made) for one, made in asked_of if made is not None]
    notes = tuple(
        f"the amendment {one.owner.name!r} changes nothing for the engine {name!r}"
        for one, made in asked_of
        if made is None and one.owner.kind == "amendment"
    )
    layers = [
        *(
            # Pools with hardware of their own get the settings of theirs.
            attrs.evolve(layer, except_roles=frozenset(_own_hardware(request)))
            for layer in hardware_layers(facts, plugins.hardware(hardware))
        ),
        *_pool_layers(deployment, request, plugins),
        *amendment_layers(one for one in amendments if one[1].recipes_win),
        *_recipe_layers(name, model, request, plan),
        *amendment_layers(one for one in amendments if not one[1].recipes_win),
        *suite_layers(asked),
    ]
    changes = [amendment for _, amendment in amendments]
    _check_roles(plan, amendments)
    _check_pool_names(plan, changes, deployment, places)
    _check_suite(plan, changes, deployment, places)
    launch, settings = merge(plan, name, layers, changes)
    _check_order(launch)
    check_symbols(launch, deployment, places)

    def start(other: EngineRequest) -> LaunchPlan:
        other_plan = _with_skus(engine.plan(other), other, accelerated=accelerated)
        return merge(other_plan, name, layers, changes)[0]

    return launch, settings, start, notes


def _own_hardware(request: EngineRequest) -> dict[str, HardwareFacts]:
    """The hardware of pools that name their own, by role."""
    return {p.key: p.hardware for p in request.layout.pools if p.hardware is not None}


def _with_skus(plan: LaunchPlan, request: EngineRequest, *, accelerated: bool) -> LaunchPlan:
    """The plan, with the SKU of the accelerators of each process. On hardware without devices to
    allocate, such as CPUs, it needs none, whatever the engine counts.
    """
    own = _own_hardware(request)
    known = request.hardware.sku if request.hardware.chip is not None else None
    processes = []
    for process in plan.processes:
        pool = own.get(process.role)
        count = process.accelerators if accelerated or pool else 0
        sku = (pool.sku if pool else known) if count else None
        processes.append(attrs.evolve(process, accelerators=count, sku=sku))
    return attrs.evolve(plan, processes=tuple(processes))


def _pool_layers(
    deployment: ResolvedDeployment, request: EngineRequest, plugins: PluginInstances
) -> list[Layer]:
    """What the hardware of single pools sets for their processes."""
    layers: list[Layer] = []
    for pool in request.layout.pools:
        if pool.hardware is not None:
            hardware = plugins.hardware(deployment.pool_hardware[pool.key].plugin)
            layers += [
                attrs.evolve(layer, accelerated=False, role=pool.key)
                for layer in hardware_layers(pool.hardware, hardware)
            ]
    return layers


def _recipe_layers(
    engine: str, model: ModelSpec | None, request: EngineRequest, plan: LaunchPlan
) -> list[Layer]:
    """The model's recipes for the engine, and those for the engines whose workers it runs. A pool
    with hardware of its own gets the recipes for that.
    """
    own, weights = _own_hardware(request), request.weights
    layers = [
        attrs.evolve(layer, except_roles=frozenset(own))
        for layer in recipe_layers(_recipes(model, engine, request.hardware, weights))
    ]
    for role, facts in own.items():
        layers += _layers_of_role(_recipes(model, engine, facts, weights), role, (None, role))
    for role, wrapped in plan.wraps.items():
        found = _recipes(model, wrapped, own.get(role, request.hardware), weights)
        layers += _layers_of_role(found, role, (None, SERVER, role))
    return layers


def _layers_of_role(
    recipes: Sequence[Recipe], role: str, named: tuple[str | None, ...]
) -> list[Layer]:
    """The recipes for the roles `named`, as layers of one role."""
    return recipe_layers(attrs.evolve(one, role=role) for one in recipes if one.role in named)


def _recipes(
    model: ModelSpec | None, engine: str, facts: HardwareFacts, weights: Weights | None
) -> list[Recipe]:
    """Recipes that match, the general ones first so that the special ones win."""
    found = [
        recipe
        for recipe in (model.recipes if model else ())
        if recipe.engine == engine
        and recipe.hardware in (None, facts.kind, facts.sku)
        and (recipe.precision is None or (weights and recipe.precision == weights.precision))
    ]
    return sorted(found, key=lambda r: (r.hardware is not None) + (r.precision is not None))


def suite_layers(asked: DeploymentRequest) -> list[Layer]:
    """What the suite sets for all of the engine's processes, then for single roles."""
    layers = [Layer(name="suite", source="suite", flags=asked.flags, environment=asked.environment)]
    for path, role, settings in asked.settings_by_role():
        kind = "pool" if path.startswith("pools") else "role"
        layers.append(
            Layer(
                name="suite",
                source=f"suite, {kind} {role}",
                role=role,
                flags=settings.flags,
                environment=settings.environment,
                image=settings.image,
                files=settings.files,
            )
        )
    return layers


def _roles(plan: LaunchPlan, amendments: Sequence[Amendment]) -> list[str]:
    added = (process for amendment in amendments for process in amendment.processes)
    return list(dict.fromkeys(process.role for process in (*plan.processes, *added)))


def _check_roles(plan: LaunchPlan, amendments: Sequence[tuple[str, Amendment]]) -> None:
    """Check that every role that an amendment names exists."""
    roles = _roles(plan, [amendment for _, amendment in amendments])
    for plugin, amendment in amendments:
        for role in _named(amendment):
            if role not in roles:
                raise UsageError(
                    f"{plugin} amends the role {role!r}, which the plan does not have",
                    hint=f"roles: {', '.join(roles) or 'none'}; report it to the plugin's author",
                )


def _named(amendment: Amendment) -> Iterator[str]:
    for field in ("flags", "environment", "images", "files", "ports", "wrap", "after"):
        yield from getattr(amendment, field)


def _check_pool_names(
    plan: LaunchPlan,
    amendments: Sequence[Amendment],
    deployment: ResolvedDeployment,
    places: Places,
) -> None:
    """Check that no other process has the name that the user gave a pool."""
    added = (process for amendment in amendments for process in amendment.processes)
    roles = [process.role for process in (*plan.processes, *added)]
    for index, pool in enumerate(deployment.request.pools):
        if pool.name and roles.count(pool.name) > 1:
            raise UsageError(
                f"{places(f'{deployment.path}.pools[{index}].name')}: another process of the "
                f"deployment is called {pool.name!r}",
                hint="give the pool another name",
            )


def _check_suite(
    plan: LaunchPlan,
    amendments: Sequence[Amendment],
    deployment: ResolvedDeployment,
    places: Places,
) -> None:
    """Check that every role and file that the suite names exists."""
    roles = _roles(plan, amendments)
    for inside, role, settings in deployment.request.settings_by_role():
        path = f"{deployment.path}.{inside}"
        if role not in roles:
            raise UsageError(
                f"{places(path)}: the engine {deployment.request.engine.name!r} has no process of "
                f"the role {role!r}",
                hint=f"its roles: {', '.join(roles) or 'none'}",
            )
        own = {
            file.name: file.content
            for process in plan.processes
            if process.role == role
            for file in process.files
            if not isinstance(file.content, str)
        }
        for name, given in settings.files.items():
            if name not in own:
                raise UsageError(
                    f"{places(f'{path}.files')}: {role} has no file {name!r} whose keys can be set",
                    hint=f"its files: {', '.join(own) or 'none'}",
                )
            _check_mappings(own[name], given, f"{path}.files.{name}", places)


def _check_mappings(
    own: Mapping[str, Any], given: Mapping[str, Any], path: str, places: Places
) -> None:
    """Check that no mapping of a file is replaced by another value; null removes it."""
    for key, value in given.items():
        mine, inside = own.get(key), f"{path}.{key}"
        if not isinstance(mine, Mapping) or not mine or value is None:
            continue
        if not isinstance(value, Mapping):
            raise UsageError(
                f"{places(inside)}: expected a mapping, which the engine's file has there, got "
                f"{shown(value)}",
                hint=f"set its keys ({', '.join(mine)}), or null to remove it",
            )
        _check_mappings(mine, value, inside, places)


def _check_order(launch: LaunchPlan) -> None:
    try:
        start_order(launch.processes)
    except ValueError as error:
        raise UsageError(
            f"the processes cannot be ordered: {error}", hint="see `after` of the amendments"
        ) from error
