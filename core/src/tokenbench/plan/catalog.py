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
from tokenbench.plugins.host import PluginHost
from tokenbench.suite.options import build_options
from tokenbench.suite.schema import Chosen


class Catalog:
    """What the rest of the core asks for a plugin object. Factories are called here only."""

    def __init__(self, host: PluginHost) -> None:
        self.host = host
        self._made: dict[tuple[str, Chosen], Any] = {}
        self._context = EngineContext(engine=lambda name: self.engine(Chosen.of(name)))

    def spec(self, kind: str, name: str) -> Any:
        """The spec of a plugin; raises as :meth:`PluginHost.spec` does."""
        return self.host.spec(kind, name)

    def options(self, kind: str, chosen: Chosen) -> Any:
        """The options instance of a choice, checked."""
        spec = self.spec(kind, chosen.key)
        return build_options(spec.options, chosen.options, where=f"{kind} {chosen.name}")

    def option_values(self, kind: str, chosen: Chosen) -> FrozenMap[Any]:
        """All options of a choice, defaults filled in; secrets are left out."""
        options = self.options(kind, chosen)
        fields = attrs.fields(type(options))
        return FrozenMap(
            {f.name: getattr(options, f.name) for f in fields if not f.metadata.get("secret")}
        )

    def identity_values(self, kind: str, chosen: Chosen) -> FrozenMap[Any]:
        """The options that belong to a point's identity."""
        options = self.options(kind, chosen)
        fields = attrs.fields(type(options))
        return FrozenMap(
            {f.name: getattr(options, f.name) for f in fields if f.metadata.get("identity", True)}
        )

    def engine(self, chosen: Chosen) -> Engine:
        """An engine."""
        made: Engine = self._make("engine", chosen, self._context)
        return made

    def hardware(self, chosen: Chosen) -> Hardware:
        """Hardware."""
        made: Hardware = self._make("hardware", chosen)
        return made

    def workload(self, chosen: Chosen) -> Workload:
        """A workload."""
        made: Workload = self._make("workload", chosen)
        return made

    def evaluation(self, chosen: Chosen) -> Eval:
        """An eval."""
        made: Eval = self._make("eval", chosen)
        return made

    def reporter(self, chosen: Chosen) -> Reporter:
        """A reporter."""
        made: Reporter = self._make("reporter", chosen)
        return made

    def launcher(self, chosen: Chosen, context: LauncherContext) -> Launcher:
        """A launcher for one deployment."""
        spec = self.spec("launcher", chosen.key)
        options = self.options("launcher", chosen)
        made: Launcher = _call("launcher", chosen, spec.factory, options, context)
        return made

    def module(self, kind: str, name: str) -> str:
        """The module behind a plugin, for worker processes that import it themselves."""
        return self.host.candidate(kind, name).module

    def model(self, name: str) -> ModelSpec:
        """A model's data."""
        spec: ModelSpec = self.spec("model", name)
        return spec

    def _make(self, kind: str, chosen: Chosen, *more: Any) -> Any:
        key = (kind, chosen)
        if key not in self._made:
            spec = self.spec(kind, chosen.key)
            options = self.options(kind, chosen)
            self._made[key] = _call(kind, chosen, spec.factory, options, *more)
        return self._made[key]


def _call(kind: str, chosen: Chosen, factory: Any, *args: Any) -> Any:
    """Call a plugin's factory; what it raises is that plugin's error."""
    try:
        return factory(*args)
    except BenchError:
        raise
    except Exception as error:
        raise PluginError(
            f"the {kind} {chosen.name!r} cannot be made: {type(error).__name__}: {error}",
            hint="run again with --debug for the traceback, or report it to its author",
        ) from error
