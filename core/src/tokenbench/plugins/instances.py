"""Plugin objects by name: specs with their options, each created once."""

from __future__ import annotations

from collections.abc import Callable
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
from tokenbench.suite.schema import PluginRef, YamlOptions

from .registry import PluginRegistry


class PluginInstances:
    """Creates plugin objects. Core calls plugin factories only here."""

    def __init__(self, registry: PluginRegistry) -> None:
        self.registry = registry
        self._options: dict[tuple[str, PluginRef], Any] = {}
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
            made = build_options(spec.options, ref.options, where=place, typed=typed)
            self._options[key] = made
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
        made: Engine = self._make("engine", ref, self._context)
        return made

    def hardware(self, ref: PluginRef) -> Hardware:
        """A hardware plugin's object."""
        made: Hardware = self._make("hardware", ref)
        return made

    def workload(self, ref: PluginRef) -> Workload:
        """A workload."""
        made: Workload = self._make("workload", ref)
        return made

    def evaluation(self, ref: PluginRef) -> Eval:
        """An eval, in this process."""
        made: Eval = self._make("eval", ref)
        return made

    def reporter(self, ref: PluginRef) -> Reporter:
        """A reporter."""
        made: Reporter = self._make("reporter", ref)
        return made

    def launcher(self, ref: PluginRef, context: LauncherContext) -> Launcher:
        """A new launcher for one deployment."""
        spec = self.spec("launcher", ref.key)
        options = self.options("launcher", ref)
        made: Launcher = _call("launcher", ref, spec.factory, options, context)
        return made

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

    def model(self, name: str) -> ModelSpec:
        """A model's spec."""
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
    """Call a plugin's factory. Any exception becomes a PluginError."""
    try:
        return factory(*args)
    except BenchError:
        raise
    except Exception as error:
        raise PluginError(
            f"could not create the {kind} {ref.name!r}: {type(error).__name__}: {error}",
            hint="run again with --debug for the traceback, or report it to the plugin's author",
        ) from error
