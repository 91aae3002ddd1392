"""Loading what was named: import, register, check, and only then hand out the spec."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import attrs
import pluggy

from tokenbench.api import BenchError, PluginError, UsageError, hookspecs

from .discovery import Candidate, discover
from .kinds import BY_NAME


@attrs.frozen(kw_only=True)
class Broken:
    """Why a candidate cannot be used: the stage it failed at, and what was said."""

    stage: str
    message: str
    hint: str


class PluginHost:
    """The plugins of one command. Imports a plugin when it is first named, never before."""

    def __init__(self, *, without: Iterable[str] = ()) -> None:
        self.candidates = discover(without=without)
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._modules: dict[str, ModuleType] = {}
        self._specs: dict[tuple[str, str], tuple[Candidate, Any]] = {}

    @property
    def hooks(self) -> Any:
        """Typed fronts for amend and observe hooks live elsewhere; this is pluggy's relay."""
        return self._manager.hook

    def plugins(self) -> list[tuple[str, Any]]:
        """Loaded plugin modules with the name of their distribution's module."""
        return [(name, module) for name, module in self._manager.list_name_plugin() if module]

    @property
    def loaded(self) -> tuple[Candidate, ...]:
        """The candidates that were loaded, for provenance."""
        return tuple(candidate for candidate, _ in self._specs.values())

    def names(self, kind: str) -> tuple[str, ...]:
        """Names of a kind that are installed."""
        return tuple(sorted({c.name for c in self.candidates if c.kind == kind}))

    def candidate(self, kind: str, name: str) -> Candidate:
        """The one candidate of that kind and name; ``DIST/NAME`` settles a tie.

        Raises:
            UsageError: there is none of that name.
            PluginError: two distributions offer it.
        """
        dist, _, plain = name.rpartition("/")
        found = [
            c
            for c in self.candidates
            if c.kind == kind and c.name == plain and (not dist or c.distribution == dist)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            both = " and ".join(c.distribution for c in found)
            raise PluginError(
                f"two distributions offer the {kind} {plain!r}: {both}",
                hint=f"name one of them: {found[0].distribution}/{plain}",
            )
        raise UsageError(f"no {kind} is called {name!r}", hint=self._suggestion(kind, plain))

    def _suggestion(self, kind: str, name: str) -> str:
        names = self.names(kind)
        if not names:
            return f"no {kind} plugin is installed; see `bench plugins`"
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        installed = f"installed: {', '.join(names)}"
        return f"did you mean {close[0]!r}? ({installed})" if close else installed

    def spec(self, kind: str, name: str) -> Any:
        """The spec of a named plugin, loaded now if it was not.

        Raises:
            UsageError: there is none of that name.
            PluginError: it is broken, or the name is ambiguous.
        """
        if (kind, name) not in self._specs:
            candidate = self.candidate(kind, name)
            try:
                self._specs[kind, name] = (candidate, self._load(candidate))
            except _BrokenPlugin as error:
                broken = error.broken
                raise PluginError(
                    f"the {kind} {candidate.name!r} of {candidate.distribution} "
                    f"{candidate.version} is broken ({broken.stage}): {broken.message}",
                    hint=broken.hint,
                ) from error.__cause__
        return self._specs[kind, name][1]

    def check(self, candidate: Candidate) -> Broken | None:
        """Try to load a candidate; what is wrong with it, or None."""
        try:
            self._load(candidate)
        except _BrokenPlugin as error:
            return error.broken
        return None

    def _load(self, candidate: Candidate) -> Any:
        module = self._module(candidate)
        kind = BY_NAME[candidate.kind]
        if kind.hook is None or kind.spec is None:
            return module
        register = getattr(module, kind.hook, None)
        if register is None:
            raise _BrokenPlugin(
                "register",
                f"its module has no {kind.hook}",
                "implement the hook of its group",
            )
        specs = _call("register", register)
        for spec in specs:
            if not isinstance(spec, kind.spec):
                raise _BrokenPlugin(
                    "spec",
                    f"{kind.hook} returned a {type(spec).__name__}",
                    f"return a sequence of {kind.spec.__name__}",
                )
        for spec in specs:
            if spec.name == candidate.name:
                return spec
        raise _BrokenPlugin(
            "spec",
            f"{kind.hook} returned no spec called {candidate.name!r}",
            "the entry point's name and the spec's name must be the same",
        )

    def _module(self, candidate: Candidate) -> ModuleType:
        if candidate.module in self._modules:
            return self._modules[candidate.module]
        module: ModuleType = _call("import", importlib.import_module, candidate.module)
        try:
            self._manager.register(module, name=candidate.module)
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            # A failed registration leaves earlier hooks of the plugin in place; take them out.
            self._manager.unregister(name=candidate.module)
            raise _BrokenPlugin(
                "hooks", str(error), "compare its hooks with the reference"
            ) from error
        self._modules[candidate.module] = module
        return module


class _BrokenPlugin(Exception):
    def __init__(self, stage: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.broken = Broken(stage=stage, message=message, hint=hint)


def _call(stage: str, function: Any, *args: Any) -> Any:
    """Call a plugin's code; whatever it raises becomes a broken plugin."""
    try:
        return function(*args)
    except BenchError as error:
        raise _BrokenPlugin(stage, error.message, error.hint) from error
    except Exception as error:
        raise _BrokenPlugin(
            stage,
            f"{type(error).__name__}: {error}",
            "run again with --debug for the traceback, or reinstall the plugin",
        ) from error
