"""Plugin objects by name: specs with their options, each created once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from tokenbench.api import (
    Codec,
    Engine,
    EngineCapabilities,
    EngineSpec,
    Eval,
    FrozenMap,
    Hardware,
    Launcher,
    ModelSpec,
    NoOptions,
    PluginContext,
    Reporter,
    UsageError,
    Workload,
    WorkloadSpec,
)
from tokenbench.guard.call import call
from tokenbench.guard.members import limited
from tokenbench.guard.owner import Owner
from tokenbench.load.codecs import BUILT_IN, find_codec
from tokenbench.suite.options import build_options
from tokenbench.suite.schema import PluginRef, YamlOptions

from .codec_check import check_codec
from .registry import PluginRegistry, owner_of

P = TypeVar("P")
NO_OPTIONS: FrozenMap[Any] = FrozenMap()
_Key = tuple[str, PluginRef, str]


def _key(kind: str, ref: PluginRef) -> _Key:
    """With `repr`: 1, 1.0 and True are equal in Python, but different options."""
    return kind, ref, repr(ref.options)


class PluginInstances:
    """Creates plugin objects, whose methods have time limits. Core calls factories only here."""

    def __init__(self, registry: PluginRegistry) -> None:
        self.registry = registry
        self._options: dict[_Key, Any] = {}
        self._codecs: dict[str, Codec] = {}
        self._made: dict[_Key, Any] = {}
        self._context = PluginContext(
            engine=lambda name, options=NO_OPTIONS: self.engine(
                PluginRef.of(name, YamlOptions(options))
            )
        )

    def spec(self, kind: str, name: str) -> Any:
        """The spec of a plugin. Raises like :meth:`PluginRegistry.spec`."""
        return self.registry.spec(kind, name)

    def use(self, ref: PluginRef, *, where: str | Callable[[str], str] | None = None) -> None:
        """Load every amendment and observer of that name, so that its hooks are called with its
        options.

        Args:
            where: the place of the options, for errors; see :func:`build_options`.

        Raises:
            PluginError: there is none, or it is broken.
            UsageError: it does not take the options.
        """
        found = [
            candidate
            for candidate in self.registry.candidates
            if candidate.kind in ("amendment", "observer")
            and candidate.name == ref.name
            and ref.distribution in (None, candidate.distribution)
        ]
        for kind in dict.fromkeys(c.kind for c in found) or ("amendment",):
            self.spec(kind, ref.key)
        for candidate in found:
            cls = self.registry.use_class(candidate.module) or NoOptions
            self.registry.use_options[candidate.module] = _options(
                owner_of(candidate), cls, ref, where or f"use {ref.name}"
            )

    def owner(self, kind: str, name: str) -> Owner:
        """The plugin as errors name it."""
        return owner_of(self.registry.candidate(kind, name))

    def options(
        self, kind: str, ref: PluginRef, *, where: str | Callable[[str], str] | None = None
    ) -> Any:
        """The checked options of a plugin, an instance of its options class.

        Args:
            where: the place of the options, for errors; see :func:`build_options`.
        """
        key = _key(kind, ref)
        if key not in self._options:
            cls = self.spec(kind, ref.key).options
            self._options[key] = _options(
                self.owner(kind, ref.key), cls, ref, where or f"{kind} {ref.name}"
            )
        return self._options[key]

    def given_values(self, kind: str, ref: PluginRef) -> FrozenMap[Any]:
        """The options that were given, as values: those of a command line are text before."""
        options = self.options(kind, ref)
        return FrozenMap({name: getattr(options, name) for name in ref.options})

    def identity_values(self, kind: str, ref: PluginRef) -> FrozenMap[Any]:
        """The options that are part of a point's identity."""
        options = self.options(kind, ref)
        fields = attrs.fields(type(options))
        return FrozenMap(
            {f.name: getattr(options, f.name) for f in fields if f.metadata.get("identity", True)}
        )

    def engine(self, ref: PluginRef) -> Engine:
        """An engine."""
        return self._make("engine", ref, Engine)  # type: ignore[type-abstract]

    def hardware(self, ref: PluginRef) -> Hardware:
        """A hardware plugin's object."""
        return self._make("hardware", ref, Hardware)  # type: ignore[type-abstract]

    def workload(self, ref: PluginRef) -> Workload:
        """A workload, with the workloads that it is composed of."""
        spec: WorkloadSpec = self.spec("workload", ref.key)
        context = self._context
        if spec.parts is not None:
            parts, options = spec.parts, self.options("workload", ref)
            names = call(self.owner("workload", ref.key), "parts()", "pure", lambda: parts(options))
            inner = [PluginRef.of(part.name, YamlOptions(part.options)) for part in names]
            if any(self.spec("workload", one.key).parts is not None for one in inner):
                raise UsageError(
                    f"workload {ref.name}: one of its parts is composed of others",
                    hint="name the parts of that part instead",
                )
            context = attrs.evolve(context, parts=tuple(self.workload(one) for one in inner))
        return self._make("workload", ref, Workload, context)  # type: ignore[type-abstract]

    def evaluation(self, ref: PluginRef) -> Eval:
        """An eval, in this process."""
        return self._make("eval", ref, Eval)  # type: ignore[type-abstract]

    def reporter(self, ref: PluginRef) -> Reporter:
        """A reporter."""
        return self._make("reporter", ref, Reporter)  # type: ignore[type-abstract]

    def launcher(self, ref: PluginRef) -> Launcher:
        """A launcher."""
        return self._make("launcher", ref, Launcher)  # type: ignore[type-abstract]

    def codec_module(self, name: str) -> str | None:
        """The module that registers the codec `name`; None for a built-in codec.

        Worker processes import it themselves. It is loaded here first, so that a broken codec is
        reported before anything starts.
        """
        if name in BUILT_IN:
            return None
        self.spec("codec", name)
        return self.registry.candidate("codec", name).module

    def codec(self, name: str) -> Codec:
        """A codec, in this process."""
        module = self.codec_module(name)
        if module is None:
            return find_codec(name, None)
        if name not in self._codecs:
            owner = self.owner("codec", name)
            spec = self.spec("codec", name)
            made = call(
                owner,
                "its factory",
                "factory",
                lambda: spec.factory(NoOptions(), self._context),
                result=Codec,
            )
            check_codec(owner, made)
            self._codecs[name] = limited(made, Codec, owner)
        return self._codecs[name]

    def model(self, ref: PluginRef) -> ModelSpec:
        """A model's spec: as registered, or as its factory makes it from its options."""
        key = _key("model", ref)
        if key not in self._made:
            spec: ModelSpec = self.spec("model", ref.key)
            options, factory = self.options("model", ref), spec.factory
            if factory is not None:
                owner = self.owner("model", ref.key)
                spec = call(
                    owner,
                    "its factory",
                    "data",
                    lambda: factory(options, self._context),
                    result=ModelSpec,
                )
            self._made[key] = spec
        found: ModelSpec = self._made[key]
        return found

    def _make(
        self, kind: str, ref: PluginRef, base: type[P], context: PluginContext | None = None
    ) -> P:
        key = _key(kind, ref)
        if key not in self._made:
            spec, owner = self.spec(kind, ref.key), self.owner(kind, ref.key)
            options = self.options(kind, ref)
            make = functools.partial(spec.factory, options, context or self._context)
            made = call(owner, "its factory", "factory", make, result=base)
            self._made[key] = limited(made, base, owner, server_times=_server_times(spec))
        found: P = self._made[key]
        return found


def _options(
    owner: Owner, cls: type[Any], ref: PluginRef, where: str | Callable[[str], str]
) -> Any:
    typed = isinstance(ref.options, YamlOptions)
    return call(
        owner,
        "its options",
        "options",
        lambda: build_options(cls, ref.options, where=where, typed=typed),
    )


def _server_times(spec: Any) -> float:
    """Factor on the time limits of members that ask a server, for an engine with a longer
    `control_timeout_s` than the default.
    """
    if not isinstance(spec, EngineSpec):
        return 1.0
    return max(1.0, spec.capabilities.control_timeout_s / EngineCapabilities().control_timeout_s)
