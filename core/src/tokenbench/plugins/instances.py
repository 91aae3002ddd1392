"""Live plugin objects by name: specs with their options, made once."""

from __future__ import annotations

from typing import Any

import attrs

from tokenbench.api import (
    BenchError,
    Engine,
    EngineContext,
    Eval,
    FrozenMap,
    Hardware,
    Launcher,
    LauncherContext,
    ModelSpec,
    PluginError,
    Reporter,
    Workload,
)
from tokenbench.load.codecs import BUILT_IN
from tokenbench.suite.options import build_options
from tokenbench.suite.schema import PluginRef

from .registry import PluginRegistry


class PluginInstances:
    """What the rest of the core asks for a plugin object. Factories are called here only."""

    def __init__(self, registry: PluginRegistry) -> None:
        self.registry = registry
        self._made: dict[tuple[str, PluginRef], Any] = {}
        self._context = EngineContext(engine=lambda name: self.engine(PluginRef.of(name)))

    def spec(self, kind: str, name: str) -> Any:
        """The spec of a plugin; raises as :meth:`PluginRegistry.spec` does."""
        return self.registry.spec(kind, name)

    def options(self, kind: str, ref: PluginRef) -> Any:
        """The options instance of a choice, checked."""
        spec = self.spec(kind, ref.key)
        return build_options(spec.options, ref.options, where=f"{kind} {ref.name}")

    def option_values(self, kind: str, ref: PluginRef) -> FrozenMap[Any]:
        """All options of a choice, defaults filled in; secrets are left out."""
        options = self.options(kind, ref)
        fields = attrs.fields(type(options))
        return FrozenMap(
            {f.name: getattr(options, f.name) for f in fields if not f.metadata.get("secret")}
        )

    def identity_values(self, kind: str, ref: PluginRef) -> FrozenMap[Any]:
        """The options that belong to a point's identity."""
        options = self.options(kind, ref)
        fields = attrs.fields(type(options))
        return FrozenMap(
            {f.name: getattr(options, f.name) for f in fields if f.metadata.get("identity", True)}
        )

    def engine(self, ref: PluginRef) -> Engine:
        """An engine."""
        made: Engine = self._make("engine", ref, self._context)
        return made

    def hardware(self, ref: PluginRef) -> Hardware:
        """Hardware."""
        made: Hardware = self._make("hardware", ref)
        return made

    def workload(self, ref: PluginRef) -> Workload:
        """A workload."""
        made: Workload = self._make("workload", ref)
        return made

    def evaluation(self, ref: PluginRef) -> Eval:
        """An eval."""
        made: Eval = self._make("eval", ref)
        return made

    def reporter(self, ref: PluginRef) -> Reporter:
        """A reporter."""
        made: Reporter = self._make("reporter", ref)
        return made

    def launcher(self, ref: PluginRef, context: LauncherContext) -> Launcher:
        """A launcher for one deployment."""
        spec = self.spec("launcher", ref.key)
        options = self.options("launcher", ref)
        made: Launcher = _call("launcher", ref, spec.factory, options, context)
        return made

    def module(self, kind: str, name: str) -> str:
        """The module behind a plugin, for worker processes that import it themselves."""
        return self.registry.candidate(kind, name).module

    def codec_module(self, name: str) -> str | None:
        """The module that registers the codec `name`; None for a built-in one.

        Worker processes import it themselves. It is loaded here first, so that a broken one is
        reported before anything is started.
        """
        if name in BUILT_IN:
            return None
        self.spec("codec", name)
        return self.module("codec", name)

    def model(self, name: str) -> ModelSpec:
        """A model's data."""
        spec: ModelSpec = self.spec("model", name)
        return spec

    def _make(self, kind: str, ref: PluginRef, *more: Any) -> Any:
        key = (kind, ref)
        if key not in self._made:
            spec = self.spec(kind, ref.key)
            options = self.options(kind, ref)
            self._made[key] = _call(kind, ref, spec.factory, options, *more)
        return self._made[key]


def _call(kind: str, ref: PluginRef, factory: Any, *args: Any) -> Any:
    """Call a plugin's factory; what it raises is that plugin's error."""
    try:
        return factory(*args)
    except BenchError:
        raise
    except Exception as error:
        raise PluginError(
            f"the {kind} {ref.name!r} cannot be made: {type(error).__name__}: {error}",
            hint="run again with --debug for the traceback, or report it to its author",
        ) from error
