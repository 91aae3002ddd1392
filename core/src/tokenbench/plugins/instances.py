"""Plugin objects by name: specs with their options, each created once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from tokenbench.api import (
    Codec,
    Engine,
    EngineContext,
    Eval,
    FrozenMap,
    Hardware,
    Launcher,
    LauncherContext,
    ModelSpec,
    Reporter,
    Workload,
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


class PluginInstances:
    """Creates plugin objects. Core calls plugin factories only here; what they make is guarded."""

    def __init__(self, registry: PluginRegistry) -> None:
        self.registry = registry
        self._options: dict[tuple[str, PluginRef], Any] = {}
        self._codecs: dict[str, Codec] = {}
        self._made: dict[tuple[str, PluginRef], Any] = {}
        self._context = EngineContext(engine=lambda name: self.engine(PluginRef.of(name)))

    def spec(self, kind: str, name: str) -> Any:
        """The spec of a plugin. Raises like :meth:`PluginRegistry.spec`."""
        return self.registry.spec(kind, name)

    def use(self, name: str) -> None:
        """Load every amendment and observer of that name, so that its hooks are called.

        Raises:
            PluginError: there is none, or it is broken.
        """
        distribution, _, plain = name.rpartition("/")
        kinds = dict.fromkeys(
            candidate.kind
            for candidate in self.registry.candidates
            if candidate.kind in ("amendment", "observer")
            and candidate.name == plain
            and distribution in ("", candidate.distribution)
        )
        for kind in kinds or ("amendment",):
            self.spec(kind, name)

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
        key = (kind, ref)
        if key not in self._options:
            spec = self.spec(kind, ref.key)
            place = where or f"{kind} {ref.name}"
            typed = isinstance(ref.options, YamlOptions)
            self._options[key] = call(
                self.owner(kind, ref.key),
                "its options",
                "options",
                lambda: build_options(spec.options, ref.options, where=place, typed=typed),
            )
        return self._options[key]

    def identity_values(self, kind: str, ref: PluginRef) -> FrozenMap[Any]:
        """The options that are part of a point's identity."""
        options = self.options(kind, ref)
        fields = attrs.fields(type(options))
        return FrozenMap(
            {f.name: getattr(options, f.name) for f in fields if f.metadata.get("identity", True)}
        )

    def engine(self, ref: PluginRef) -> Engine:
        """An engine, with its context."""
        return self._make("engine", ref, Engine, self._context)  # type: ignore[type-abstract]

    def hardware(self, ref: PluginRef) -> Hardware:
        """A hardware plugin's object."""
        return self._make("hardware", ref, Hardware)  # type: ignore[type-abstract]

    def workload(self, ref: PluginRef) -> Workload:
        """A workload."""
        return self._make("workload", ref, Workload)  # type: ignore[type-abstract]

    def evaluation(self, ref: PluginRef) -> Eval:
        """An eval, in this process."""
        return self._make("eval", ref, Eval)  # type: ignore[type-abstract]

    def reporter(self, ref: PluginRef) -> Reporter:
        """A reporter."""
        return self._make("reporter", ref, Reporter)  # type: ignore[type-abstract]

    def launcher(self, ref: PluginRef, context: LauncherContext) -> Launcher:
        """A new launcher for one deployment."""
        spec = self.spec("launcher", ref.key)
        options = self.options("launcher", ref)
        return self._create(
            "launcher",
            ref,
            Launcher,  # type: ignore[type-abstract]
            spec.factory,
            options,
            context,
        )

    def module(self, kind: str, name: str) -> str:
        """The hook module of a plugin, for worker processes that import it themselves."""
        return self.registry.candidate(kind, name).module

    def codec_module(self, name: str) -> str | None:
        """The module that registers the codec `name`; None for a built-in codec.

        Worker processes import it themselves. It is loaded here first, so that a broken codec is
        reported before anything starts.
        """
        if name in BUILT_IN:
            return None
        self.spec("codec", name)
        return self.module("codec", name)

    def codec(self, name: str) -> Codec:
        """A codec, in this process."""
        module = self.codec_module(name)
        if module is None:
            return find_codec(name, None)
        if name not in self._codecs:
            owner = self.owner("codec", name)
            made = call(
                owner, "its factory", "factory", lambda: find_codec(name, module), result=Codec
            )
            check_codec(owner, made)
            self._codecs[name] = limited(made, Codec, owner)  # type: ignore[type-abstract]
        return self._codecs[name]

    def model(self, name: str) -> ModelSpec:
        """A model's spec."""
        spec: ModelSpec = self.spec("model", name)
        return spec

    def _make(self, kind: str, ref: PluginRef, base: type[P], *more: Any) -> P:
        key = (kind, ref)
        if key not in self._made:
            spec = self.spec(kind, ref.key)
            options = self.options(kind, ref)
            self._made[key] = self._create(kind, ref, base, spec.factory, options, *more)
        made: P = self._made[key]
        return made

    def _create(self, kind: str, ref: PluginRef, base: type[P], factory: Any, *args: Any) -> P:
        owner = self.owner(kind, ref.key)
        made: P = call(owner, "its factory", "factory", lambda: factory(*args), result=base)
        return limited(made, base, owner)
