"""Loading what was named, in stages: API version, import, register, hooks, spec."""

from __future__ import annotations

import difflib
import importlib
import warnings
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import attrs
import pluggy

from tokenbench.api import BenchError, PluginError, UsageError, hookspecs

from .capabilities import capabilities_of
from .discovery import Candidate, discover
from .kinds import BY_NAME
from .state import Broken, Loaded, Outcome, keep_traceback
from .trace import traced
from .validate import spec_called, stray_hooks
from .versions import misfit


@attrs.frozen
class Implementation:
    """One plugin's implementation of a hook. Gets the arguments it names, as pluggy would."""

    plugin: str
    hook: str
    function: Callable[..., Any]
    argnames: tuple[str, ...]

    def __call__(self, **given: Any) -> Any:
        """Call it with those of `given` that it asks for."""
        wanted = {name: given[name] for name in self.argnames}
        return traced(self.plugin, self.hook, self.function, **wanted)


class PluginRegistry:
    """The plugins of one command. Imports a plugin when it is first named, never before."""

    def __init__(self, *, without: Iterable[str] = ()) -> None:
        self.candidates = discover(without=without)
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._users: dict[str, set[Candidate]] = {}
        self._specs: dict[Candidate, Any] = {}
        self._registered: dict[tuple[str, str], Any] = {}

    def implementations(self, hook: str) -> tuple[Implementation, ...]:
        """The loaded plugins' implementations of a hook, by module name: each is called alone, so
        that one failure is one plugin's.
        """
        found = [
            Implementation(impl.plugin_name, hook, impl.function, tuple(impl.argnames))
            for impl in getattr(self._manager.hook, hook).get_hookimpls()
        ]
        return tuple(sorted(found, key=lambda i: i.plugin))

    @property
    def loaded(self) -> tuple[Candidate, ...]:
        """The candidates that were loaded, for provenance."""
        return tuple(self._specs)

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
                hint=f"name one of them: {found[0].key}",
            )
        raise UsageError(f"no {kind} is called {name!r}", hint=self._suggestion(kind, plain))

    def kinds_of(self, name: str, kind: str | None = None) -> tuple[str, ...]:
        """The kinds in which a plugin of that name is installed; `kind` where it is told.

        Raises:
            UsageError: there is none of that name, or no such kind.
        """
        if kind is not None:
            if kind not in BY_NAME:
                raise UsageError(f"no kind {kind!r}", hint=f"kinds: {', '.join(BY_NAME)}")
            self.candidate(kind, name)
            return (kind,)
        plain = name.rpartition("/")[2]
        found = tuple(dict.fromkeys(c.kind for c in self.candidates if c.name == plain))
        if not found:
            names = sorted({c.name for c in self.candidates})
            close = difflib.get_close_matches(plain, names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "see `bench plugins list`"
            raise UsageError(f"no plugin is called {name!r}", hint=hint)
        return found

    def _suggestion(self, kind: str, name: str) -> str:
        names = self.names(kind)
        if not names:
            return f"no {kind} plugin is installed; see `bench plugins list`"
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        installed = f"installed: {', '.join(names)}"
        return f"did you mean {close[0]!r}? ({installed})" if close else installed

    def spec(self, kind: str, name: str) -> Any:
        """The spec of a named plugin, loaded now if it was not.

        Raises:
            UsageError: there is none of that name.
            PluginError: it is broken, or the name is ambiguous.
        """
        candidate = self.candidate(kind, name)
        if candidate not in self._specs:
            try:
                self._specs[candidate] = self._load(candidate)
            except _BrokenPlugin as error:
                broken = error.broken
                raise PluginError(
                    f"the {kind} {candidate.name!r} of {candidate.distribution} "
                    f"{candidate.version} is broken ({broken.stage}): {broken.message}",
                    hint=broken.hint,
                    log=broken.log,
                ) from error.__cause__
        return self._specs[candidate]

    def check(self, candidate: Candidate) -> Outcome:
        """Load a candidate and say what came of it."""
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", DeprecationWarning)
            try:
                spec = self._load(candidate)
            except _BrokenPlugin as error:
                return error.broken
        ours = [str(w.message) for w in said if "tokenbench" in str(w.message)]
        return Loaded(capabilities=capabilities_of(spec), deprecated=tuple(dict.fromkeys(ours)))

    def _load(self, candidate: Candidate) -> Any:
        try:
            spec = self._stages(candidate)
        except _BrokenPlugin as error:
            # What a failed candidate registered must not answer hooks; another one of the same
            # module may be sound and keep it.
            if not self._users.get(candidate.module):
                self._manager.unregister(name=candidate.module)
            cause = error.__cause__
            if cause is not None and not isinstance(cause, BenchError):
                log = keep_traceback(candidate, cause)
                error.broken = attrs.evolve(error.broken, log=log)
            raise
        self._users.setdefault(candidate.module, set()).add(candidate)
        return spec

    def _stages(self, candidate: Candidate) -> Any:
        wrong = misfit(candidate.api)
        if wrong is not None:
            raise _BrokenPlugin("api", *wrong)
        name, colon, _ = candidate.module.partition(":")
        if colon:
            raise _BrokenPlugin(
                "import",
                f"its entry point says {candidate.module!r}, an object in a module",
                f'entry points of bench name the module alone: "{name.strip()}"',
            )
        module = _call("import", candidate, importlib.import_module, candidate.module)
        self._register(candidate, module)
        kind = BY_NAME[candidate.kind]
        if kind.hook is None:
            return module
        register = getattr(module, kind.hook, None)
        if register is None:
            raise _BrokenPlugin(
                "register",
                f"its module has no {kind.hook}",
                "implement the hook of its group",
            )
        # One module may serve several names; its hook is called once.
        key = (candidate.module, kind.hook)
        if key not in self._registered:
            self._registered[key] = _call("register", candidate, register)
        specs = self._registered[key]
        try:
            return spec_called(candidate.name, specs, kind)
        except ValueError as error:
            raise _BrokenPlugin("spec", *error.args) from None

    def _register(self, candidate: Candidate, module: ModuleType) -> None:
        if self._manager.has_plugin(candidate.module):
            return
        try:
            self._manager.register(module, name=candidate.module)
        except pluggy.PluginValidationError as error:
            raise _BrokenPlugin(
                "register", _first_line(error), "compare its hooks with docs/reference/hooks.md"
            ) from error
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise _BrokenPlugin("hooks", _first_line(error), _hook_hint(str(error))) from error
        for name in stray_hooks(module):
            raise _BrokenPlugin(
                "hooks", f"{name} looks like a hook and is not marked", "put @hookimpl above it"
            )


class _BrokenPlugin(Exception):
    def __init__(self, stage: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.broken = Broken(stage=stage, message=message, hint=hint)


def _said(error: BaseException) -> str:
    """What an exception says, whatever its author made of it."""
    try:
        return str(error).encode(errors="backslashreplace").decode()
    except Exception:
        return "(its message cannot be shown)"


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]


def _hook_hint(message: str) -> str:
    names = [name for name in vars(hookspecs) if name.startswith("bench_")]
    words = [word.strip("'\":,") for word in message.split() if "bench_" in word]
    close = difflib.get_close_matches(words[0], names, n=1) if words else []
    return f"did you mean {close[0]}?" if close else "hooks are in docs/reference/hooks.md"


def _call(stage: str, candidate: Candidate, function: Any, *args: Any) -> Any:
    """Call a plugin's code; whatever it raises becomes a broken plugin."""
    try:
        name = getattr(function, "__name__", stage)
        return traced(candidate.module, name, function, *args)
    except BenchError as error:
        raise _BrokenPlugin(stage, error.message, error.hint) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # Also SystemExit: a plugin must not end the command, least of all with success.
        raise _BrokenPlugin(
            stage,
            f"{type(error).__name__}: {_said(error)}",
            "run again with --debug for the traceback, or reinstall the plugin",
        ) from error
