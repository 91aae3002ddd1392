"""Layers of settings: the origin of each flag and variable, and what it replaced.

Layers, in order: engine, hardware, recipes, amendments, suite. A later layer replaces an earlier
one. Two amendments that set different values are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from tokenbench.api import (
    Amendment,
    FlagValue,
    FrozenMap,
    LaunchPlan,
    ProcessSpec,
    Recipe,
    UsageError,
)


@attrs.frozen(kw_only=True)
class Setting:
    """One flag or variable of one role, for ``bench plan --explain``."""

    role: str
    kind: str
    name: str
    value: FlagValue
    layer: str
    source: str
    replaced: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Layer:
    """Settings of one origin. `role` None is every role of the engine's own plan; `accelerated`
    every process with accelerators, whoever planned it.
    """

    name: str
    source: str
    role: str | None = None
    flags: FrozenMap[FlagValue] = FrozenMap()
    environment: FrozenMap[str] = FrozenMap()
    accelerated: bool = False


def hardware_layer(kind: str, environment: FrozenMap[str]) -> Layer:
    """The hardware's variables for every process with accelerators."""
    return Layer(name="hardware", source=kind, environment=environment, accelerated=True)


def recipe_layers(recipes: Iterable[Recipe]) -> list[Layer]:
    """Recipes as layers, in the order given."""
    return [
        Layer(
            name="recipe",
            source=f"{recipe.source}, {recipe.date}",
            role=recipe.role,
            flags=recipe.flags,
            environment=recipe.environment,
        )
        for recipe in recipes
    ]


def amendment_layers(amendments: Iterable[tuple[str, Amendment]]) -> list[Layer]:
    """Amendments, each with its plugin, as layers.

    Raises:
        UsageError: two of them set different values.
    """
    layers: list[Layer] = []
    seen: dict[tuple[str, str, str], tuple[str, Any]] = {}
    for plugin, amendment in amendments:
        roles = dict.fromkeys([*amendment.flags, *amendment.environment])
        for role in roles:
            flags = amendment.flags.get(role, FrozenMap())
            environment = amendment.environment.get(role, FrozenMap())
            for kind, settings in (("flag", flags), ("variable", environment)):
                for name, value in settings.items():
                    other = seen.setdefault((role, kind, name), (plugin, value))
                    if other[1] != value:
                        raise UsageError(
                            f"{other[0]} wants {name} = {other[1]!r} and {plugin} wants {value!r}",
                            hint=f"leave one of them out, or set {name} in the suite",
                        )
            layers.append(
                Layer(
                    name="amendment",
                    source=f"{plugin}: {amendment.reason}",
                    role=role,
                    flags=flags,
                    environment=environment,
                )
            )
    return layers


def merge(
    plan: LaunchPlan, engine: str, layers: Iterable[Layer], amendments: Sequence[Amendment] = ()
) -> tuple[LaunchPlan, tuple[Setting, ...]]:
    """Apply all layers to a plan; returns it with the origin of each setting."""
    ordered = list(layers)
    processes: list[ProcessSpec] = []
    settings: list[Setting] = []
    origins = [(process, "engine", engine) for process in plan.processes]
    origins += [(p, "amendment", a.reason) for a in amendments for p in a.processes]
    for process, origin, source in origins:
        mine = [layer for layer in ordered if _applies(layer, process, origin)]
        merged, explained = _merge_process(process, origin, source, mine)
        for amendment in amendments:
            merged = attrs.evolve(
                merged,
                files=merged.files + amendment.files.get(process.role, ()),
                mounts=merged.mounts + amendment.mounts,
                devices=merged.devices + amendment.devices,
            )
        processes.append(merged)
        settings.extend(explained)
    return attrs.evolve(plan, processes=tuple(processes)), tuple(settings)


def _applies(layer: Layer, process: ProcessSpec, origin: str) -> bool:
    """A layer without a role applies to the engine's own processes only."""
    if layer.accelerated:
        return bool(process.accelerators)
    return layer.role == process.role or (layer.role is None and origin == "engine")


def _merge_process(
    process: ProcessSpec, origin: str, source: str, layers: list[Layer]
) -> tuple[ProcessSpec, list[Setting]]:
    found: dict[tuple[str, str], Setting] = {}

    def lay(kind: str, name: str, value: FlagValue, layer: str, source: str) -> None:
        before = found.get((kind, name))
        replaced: tuple[str, ...] = ()
        if before is not None:
            replaced = (f"{before.value!r} ({before.layer}: {before.source})", *before.replaced)
        found[kind, name] = Setting(
            role=process.role,
            kind=kind,
            name=name,
            value=value,
            layer=layer,
            source=source,
            replaced=replaced,
        )

    for name, value in process.flags.items():
        lay("flag", name, value, origin, source)
    for name, text in process.environment.items():
        lay("variable", name, text, origin, source)
    for layer in layers:
        for name, value in layer.flags.items():
            lay("flag", name, value, layer.name, layer.source)
        for name, text in layer.environment.items():
            lay("variable", name, text, layer.name, layer.source)
    flags = FrozenMap({s.name: s.value for s in found.values() if s.kind == "flag"})
    variables = FrozenMap({s.name: str(s.value) for s in found.values() if s.kind == "variable"})
    return attrs.evolve(process, flags=flags, environment=variables), list(found.values())
