"""Layers of settings: the origin of each flag, variable, image and file, and what it replaced.

Layers, in order: engine, hardware, recipes, amendments, suite. A later layer replaces an earlier
one. Two amendments that set different values are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from tokenbench.api import (
    Amendment,
    FileSpec,
    FlagGrammar,
    FlagValue,
    FrozenMap,
    Hardware,
    HardwareFacts,
    LaunchPlan,
    PortBlock,
    ProcessSpec,
    Recipe,
    UsageError,
    freeze,
)


@attrs.frozen(kw_only=True)
class Setting:
    """One setting of one role, for ``bench plan --explain``.

    `kind`: ``flag``, ``variable``, ``image`` or ``file``; or ``device`` and ``group``, a device
    node and a group of users that a container needs, with `value` True. `name` of a file's setting:
    ``NAME:key``.
    """

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
    every process with accelerators, whoever planned it; neither those of `except_roles`. `files`:
    mappings by name of the file.
    """

    name: str
    source: str
    role: str | None = None
    flags: FrozenMap[FlagValue] = FrozenMap()
    environment: FrozenMap[str] = FrozenMap()
    image: str | None = None
    files: FrozenMap[FrozenMap[Any]] = FrozenMap()
    devices: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    accelerated: bool = False
    except_roles: frozenset[str] = frozenset()


def hardware_layers(facts: HardwareFacts, hardware: Hardware) -> list[Layer]:
    """What the hardware sets for every process with accelerators, as layers."""
    # A device that is not in the catalogue has its driver's name.
    known = facts.sku in {sku.name for sku in hardware.catalogue()}
    settings = hardware.settings(facts.sku if known else None)
    return [
        Layer(
            name="hardware",
            source=f"{facts.kind}: {one.reason}",
            environment=one.environment,
            devices=one.devices,
            groups=one.groups,
            accelerated=True,
        )
        for one in settings
    ]


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
    """Amendments, each with its plugin, as layers: one for each role and reason."""
    return [
        layer
        for plugin, amendment in amendments
        for role in dict.fromkeys(
            [*amendment.flags, *amendment.environment, *amendment.images, *amendment.files]
        )
        for layer in _of_role(plugin, amendment, role)
    ]


def _of_role(plugin: str, amendment: Amendment, role: str) -> Iterator[Layer]:
    """What an amendment sets for one role."""
    flags = amendment.flags.get(role, FrozenMap())
    environment = amendment.environment.get(role, FrozenMap())
    mappings = {
        file.name: file.content
        for file in amendment.files.get(role, ())
        if not isinstance(file.content, str)
    }
    named = (*flags, *environment, *mappings)
    for reason in dict.fromkeys([amendment.reason, *map(amendment.why, named)]):
        mine = [name for name in named if amendment.why(name) == reason]
        yield Layer(
            name="amendment",
            source=f"{plugin}: {reason}",
            role=role,
            flags=FrozenMap({k: v for k, v in flags.items() if k in mine}),
            environment=FrozenMap({k: v for k, v in environment.items() if k in mine}),
            image=amendment.images.get(role) if reason == amendment.reason else None,
            files=FrozenMap({k: v for k, v in mappings.items() if k in mine}),
        )


def merge(
    plan: LaunchPlan, engine: str, layers: Iterable[Layer], amendments: Sequence[Amendment] = ()
) -> tuple[LaunchPlan, tuple[Setting, ...]]:
    """Apply all layers to a plan; returns it with the origin of each setting.

    Raises:
        UsageError: two amendments contradict each other, or a flag is not what its grammar says.
    """
    ordered = list(layers)
    processes: list[ProcessSpec] = []
    settings: list[Setting] = []
    origins = [(process, "engine", engine) for process in plan.processes]
    origins += [(p, "amendment", a.why(p.role)) for a in amendments for p in a.processes]
    for process, origin, source in origins:
        mine = [layer for layer in ordered if _applies(layer, process, origin)]
        amended = process
        for amendment in amendments:
            amended = _amended(amended, amendment)
        merged, explained = _Merging(amended, origin, source).with_layers(mine)
        for amendment in amendments:
            merged = attrs.evolve(
                merged,
                mounts=merged.mounts + amendment.mounts,
                devices=_added(merged.devices, (amendment.devices,)),
            )
        processes.append(merged)
        settings.extend(explained)
    return attrs.evolve(plan, processes=tuple(processes)), tuple(settings)


def _applies(layer: Layer, process: ProcessSpec, origin: str) -> bool:
    """A layer without a role applies to the engine's own processes only."""
    if process.role in layer.except_roles:
        return False
    if layer.accelerated:
        return bool(process.accelerators)
    return layer.role == process.role or (layer.role is None and origin == "engine")


def _amended(process: ProcessSpec, amendment: Amendment) -> ProcessSpec:
    """With what an amendment adds; what it sets is a layer."""
    role, own = process.role, {file.name for file in process.files}
    added = tuple(
        file
        for file in amendment.files.get(role, ())
        if isinstance(file.content, str) or file.name not in own
    )
    return attrs.evolve(
        process,
        files=process.files + added,
        ports=_with_ports(process.ports, amendment.ports.get(role, ())),
        wrap=amendment.wrap.get(role, ()) + process.wrap,
        after=_added(process.after, (amendment.after.get(role, ()),)),
    )


def _with_ports(own: tuple[PortBlock, ...], names: tuple[str, ...]) -> tuple[PortBlock, ...]:
    have = {block.name for block in own}
    return own + tuple(PortBlock(name=name) for name in dict.fromkeys(names) if name not in have)


class _Merging:
    """Merges the settings of one process, layer by layer."""

    def __init__(self, process: ProcessSpec, origin: str, source: str) -> None:
        self._process = process
        self._found: dict[tuple[str, str], Setting] = {}
        self._by_amendment: dict[tuple[str, str], tuple[str, FlagValue]] = {}
        own = Layer(
            name=origin,
            source=source,
            flags=process.flags,
            environment=process.environment,
            image=process.image,
            files=FrozenMap(
                {f.name: f.content for f in process.files if not isinstance(f.content, str)}
            ),
        )
        self._apply(own)

    def with_layers(self, layers: Sequence[Layer]) -> tuple[ProcessSpec, list[Setting]]:
        """The process with all settings, and the origin of each."""
        for layer in layers:
            self._apply(layer)
            for kind, names in (("device", layer.devices), ("group", layer.groups)):
                for name in names:
                    needed = _needed(self._process.role, kind, name, layer)
                    self._found.setdefault((kind, name), needed)
        grammar, process = self._process.grammar, self._process
        images = self._values("image")
        merged = attrs.evolve(
            process,
            flags=FrozenMap(grammar.joined(self._values("flag"))),
            environment=FrozenMap({k: str(v) for k, v in self._values("variable").items()}),
            image=images.get("image", process.image),
            files=self._files(),
            devices=_added(process.devices, (layer.devices for layer in layers)),
            groups=_added(process.groups, (layer.groups for layer in layers)),
        )
        return merged, list(self._found.values())

    def _apply(self, layer: Layer) -> None:
        for kind, name, value in _settings_of(layer, self._process.grammar):
            self._set(kind, name, value, layer)

    def _set(self, kind: str, name: str, value: Any, layer: Layer) -> None:
        if layer.name == "amendment":
            plugin = layer.source.partition(":")[0]
            first = self._by_amendment.setdefault((kind, name), (plugin, value))
            if first[1] != value:
                raise UsageError(
                    f"{first[0]} sets {name} = {first[1]!r}, but {plugin} sets {value!r}",
                    hint="leave one of the two plugins out",
                )
        # A JSON flag or a mapping in a file replaces settings of its keys, and the reverse.
        nested = [
            other
            for k, other in self._found
            if k == kind and (other.startswith(f"{name}.") or name.startswith(f"{other}."))
        ]
        below = any(other.startswith(f"{name}.") for other in nested)
        if kind == "file" and below and isinstance(value, Mapping) and not value:
            return  # An empty mapping is merged into one that has keys.
        replaced: tuple[str, ...] = ()
        for other in (*nested, name):
            before = self._found.pop((kind, other), None) if other != name else None
            before = before or self._found.get((kind, other))
            if before is not None:
                shown = f"{before.value!r} ({before.layer}: {before.source})"
                replaced += (shown if other == name else f"{other} = {shown}", *before.replaced)
        self._found[kind, name] = Setting(
            role=self._process.role,
            kind=kind,
            name=name,
            value=value,
            layer=layer.name,
            source=layer.source,
            replaced=replaced,
        )

    def _values(self, kind: str) -> dict[str, Any]:
        return {s.name: s.value for s in self._found.values() if s.kind == kind}

    def _files(self) -> tuple[FileSpec, ...]:
        # None from the engine is written as null; from another layer it removes a key.
        settings = {
            s.name: s.value
            for s in self._found.values()
            if s.kind == "file" and (s.value is not None or s.layer == "engine")
        }
        return tuple(
            file if _is_text(file) else attrs.evolve(file, content=_nested(file.name, settings))
            for file in self._process.files
        )


def _settings_of(layer: Layer, grammar: FlagGrammar) -> Iterator[tuple[str, str, Any]]:
    """Kind, canonical name and value of each setting of a layer."""
    for flag, value in layer.flags.items():
        try:
            for name, item in grammar.leaves(*grammar.canonical(flag, value)):
                yield "flag", name, item
        except ValueError as error:
            raise UsageError(
                f"{layer.source}: {error}", hint="see the help of the engine for this flag"
            ) from error
    for name, text in layer.environment.items():
        yield "variable", name, text
    if layer.image is not None:
        yield "image", "image", layer.image
    for name, content in layer.files.items():
        yield from (("file", f"{name}:{path}", item) for path, item in _leaves(content))


def _leaves(content: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in content.items():
        if isinstance(item, Mapping) and item:
            yield from _leaves(item, f"{path}{key}.")
        else:
            yield path + key, item


def _nested(file: str, settings: Mapping[str, Any]) -> FrozenMap[Any]:
    """The content of a file from the settings ``FILE:key.key``."""
    content: dict[str, Any] = {}
    for name, value in settings.items():
        own, _, path = name.partition(":")
        if own == file:
            *keys, last = path.split(".")
            place = content
            for key in keys:
                place = place.setdefault(key, {})
            place[last] = value
    found: FrozenMap[Any] = freeze(content)
    return found


def _is_text(file: FileSpec) -> bool:
    return isinstance(file.content, str)


def _needed(role: str, kind: str, name: str, layer: Layer) -> Setting:
    return Setting(
        role=role, kind=kind, name=name, value=True, layer=layer.name, source=layer.source
    )


def _added(first: tuple[str, ...], more: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """All values, each once."""
    return tuple(dict.fromkeys([*first, *(one for some in more for one in some)]))
