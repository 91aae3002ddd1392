"""Loads requested plugins in stages: API version, import, register, hooks, spec."""

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
from tokenbench.guard.call import call
from tokenbench.guard.owner import Owner, text_of

from .capabilities import capabilities_of
from .discovery import Candidate, discover, misplaced
from .kinds import BY_NAME
from .state import Broken, Loaded, Outcome, log_traceback
from .trace import traced
from .validate import hook_argument_problem, select_spec, unmarked_hooks
from .versions import api_mismatch


@attrs.frozen
class Implementation:
    """One plugin's implementation of a hook. Receives only the arguments it names, as in pluggy.

    `plugin`: its module. `options`: those of the module, see ``bench_use_options``.
    """

    plugin: str
    owner: Owner
    hook: str
    function: Callable[..., Any]
    argnames: tuple[str, ...]
    options: Any = None

    def __call__(self, limit: str, result: Any, **given: Any) -> Any:
        """Call it with the arguments of `given` that it names.

        Args:
            limit: kind of call, see :data:`tokenbench.guard.limits.LIMITS_S`.
            result: the type of its result.
        """
        given["options"] = self.options
        wanted = {name: given[name] for name in self.argnames}
        return call(
            self.owner,
            f"{self.hook}()",
            limit,
            lambda: traced(self.plugin, self.hook, self.function, **wanted),
            result=result,
        )


class PluginRegistry:
    """The plugins of one command. A plugin is imported when it is first requested."""

    def __init__(self, *, without: Iterable[str] = ()) -> None:
        self._without = tuple(without)
        self.candidates = discover(without=self._without)
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._users: dict[str, set[Candidate]] = {}
        self._specs: dict[Candidate, Any] = {}
        self._registered: dict[tuple[str, str], Any] = {}
        self.use_options: dict[str, Any] = {}
        """Options of amendments and observers, by module."""

    def apart(self) -> PluginRegistry:
        """A registry of the same plugins with none loaded."""
        return PluginRegistry(without=self._without)

    def implementations(self, hook: str) -> tuple[Implementation, ...]:
        """The loaded plugins' implementations of a hook, by module name. They are called one by
        one, so that a failure can be attributed to one plugin.
        """
        found = [
            Implementation(
                impl.plugin_name,
                self._owner_of(impl.plugin_name, hook),
                hook,
                impl.function,
                tuple(impl.argnames),
                self._options_of(impl.plugin_name),
            )
            for impl in getattr(self._manager.hook, hook).get_hookimpls()
        ]
        return tuple(sorted(found, key=lambda i: i.plugin))

    def _options_of(self, module: str) -> Any:
        """The options that were given, or the defaults of the module's class."""
        if module not in self.use_options:
            made = self.use_class(module)
            self.use_options[module] = None if made is None else made()
        return self.use_options[module]

    def use_class(self, module: str) -> type[Any] | None:
        """What ``bench_use_options`` of a loaded module returns; None without that hook."""
        hook = getattr(self._manager.get_plugin(module), "bench_use_options", None)
        if hook is None:
            return None
        owner = self._owner_of(module, "bench_amend_launch")
        made: type[Any] = call(owner, "bench_use_options()", "register", hook, result=type)
        return made

    def _owner_of(self, module: str, hook: str) -> Owner:
        """The plugin that errors of a hook name: of the module's plugins, one of the hook's kind if
        possible.
        """
        kind = "amendment" if hook == "bench_amend_launch" else "observer"
        users = sorted(self._users.get(module, ()), key=lambda c: (c.kind != kind, c.kind, c.name))
        return owner_of(users[0]) if users else Owner("plugin", module)

    @property
    def loaded(self) -> tuple[Candidate, ...]:
        """The loaded candidates, for provenance."""
        return tuple(self._specs)

    def names(self, kind: str) -> tuple[str, ...]:
        """Installed names of a kind, sorted."""
        return tuple(sorted({c.name for c in self.candidates if c.kind == kind}))

    def candidate(self, kind: str, name: str) -> Candidate:
        """The candidate of that kind and name; ``DIST/NAME`` resolves ambiguity.

        Raises:
            UsageError: the name is unknown.
            PluginError: several distributions register it.
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
                f"the {kind} {plain!r} is registered by several distributions: {both}",
                hint=f"use a full name, such as {found[0].key}",
            )
        raise UsageError(f"unknown {kind} {name!r}", hint=self._suggestion(kind, plain))

    def kinds_of(self, name: str, kind: str | None = None) -> tuple[str, ...]:
        """The kinds in which a plugin of that name is installed, or only `kind` if given.

        Raises:
            UsageError: the name or the kind is unknown.
        """
        if kind is not None:
            if kind not in BY_NAME:
                raise UsageError(
                    f"unknown plugin kind {kind!r}", hint=f"kinds: {', '.join(BY_NAME)}"
                )
            self.candidate(kind, name)
            return (kind,)
        plain = name.rpartition("/")[2]
        found = tuple(dict.fromkeys(c.kind for c in self.candidates if c.name == plain))
        if not found:
            names = sorted({c.name for c in self.candidates})
            close = difflib.get_close_matches(plain, names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "see `bench plugins list`"
            raise UsageError(f"unknown plugin {name!r}", hint=hint)
        return found

    def _suggestion(self, kind: str, name: str) -> str:
        for entry in misplaced():
            if entry.name == name and entry.meant == BY_NAME[kind].group:
                return f"{entry.distribution}: {entry.message}; {entry.hint}"
        names = self.names(kind)
        if not names:
            return f"no {kind} plugin is installed; see `bench plugins list`"
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        installed = f"installed: {', '.join(names)}"
        return f"did you mean {close[0]!r}? ({installed})" if close else installed

    def spec(self, kind: str, name: str) -> Any:
        """The spec of a plugin, loaded on first use.

        Raises:
            UsageError: the name is unknown.
            PluginError: the plugin is broken, or the name is ambiguous.
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
        """Load a candidate and return the outcome."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DeprecationWarning)
            try:
                spec = self._load(candidate)
            except _BrokenPlugin as error:
                return error.broken
        ours = [str(w.message) for w in caught if "tokenbench" in str(w.message)]
        return Loaded(capabilities=capabilities_of(spec), deprecated=tuple(dict.fromkeys(ours)))

    def _load(self, candidate: Candidate) -> Any:
        try:
            spec = self._stages(candidate)
        except _BrokenPlugin as error:
            # A failed candidate's hooks must not be called. Another candidate of the same module
            # may have loaded and needs them.
            if not self._users.get(candidate.module):
                self._manager.unregister(name=candidate.module)
            cause = error.__cause__
            if cause is not None and not isinstance(cause, BenchError):
                log = log_traceback(candidate, cause)
                error.broken = attrs.evolve(error.broken, log=log)
            raise
        self._users.setdefault(candidate.module, set()).add(candidate)
        return spec

    def _stages(self, candidate: Candidate) -> Any:
        mismatch = api_mismatch(candidate.api)
        if mismatch is not None:
            raise _BrokenPlugin("api", *mismatch)
        name, colon, _ = candidate.module.partition(":")
        if colon:
            raise _BrokenPlugin(
                "import",
                f"its entry point {candidate.module!r} names an object, not a module",
                f'name the module only: "{name.strip()}"',
            )
        module = _call("import", candidate, importlib.import_module, candidate.module)
        if (problem := hook_argument_problem(module)) is not None:
            raise _BrokenPlugin("hooks", *problem)
        self._register(candidate, module)
        kind = BY_NAME[candidate.kind]
        if kind.hook is None:
            return module
        register = getattr(module, kind.hook, None)
        if register is None:
            raise _BrokenPlugin(
                "register",
                f"its module has no {kind.hook}",
                f"implement the hook of its entry-point group {kind.group}",
            )
        # A module may register several names; its hook is called once.
        key = (candidate.module, kind.hook)
        if key not in self._registered:
            self._registered[key] = _call("register", candidate, register)
        specs = self._registered[key]
        try:
            return select_spec(candidate.name, specs, kind)
        except ValueError as error:
            raise _BrokenPlugin("spec", *error.args) from None

    def _register(self, candidate: Candidate, module: ModuleType) -> None:
        if self._manager.has_plugin(candidate.module):
            return
        try:
            self._manager.register(module, name=candidate.module)
        except pluggy.PluginValidationError as error:
            raise _BrokenPlugin(
                "register",
                _first_line(error),
                "compare its arguments with tokenbench.api.hookspecs",
            ) from error
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise _BrokenPlugin("hooks", _first_line(error), _hook_hint(str(error))) from error
        for name in unmarked_hooks(module):
            raise _BrokenPlugin(
                "hooks", f"{name} is not marked as a hook", "put @hookimpl above it"
            )


class _BrokenPlugin(Exception):
    def __init__(self, stage: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.broken = Broken(stage=stage, message=message, hint=hint)


def owner_of(candidate: Candidate) -> Owner:
    """The plugin as errors name it."""
    return Owner(candidate.kind, candidate.name, candidate.distribution, candidate.version)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]


def _hook_hint(message: str) -> str:
    names = [name for name in vars(hookspecs) if name.startswith("bench_")]
    words = [word.strip("'\":,") for word in message.split() if "bench_" in word]
    close = difflib.get_close_matches(words[0], names, n=1) if words else []
    return f"did you mean {close[0]}?" if close else f"hooks: {', '.join(names)}"


def _call(stage: str, candidate: Candidate, function: Any, *args: Any) -> Any:
    """Call a plugin's code. A failure marks the plugin as broken."""
    name = getattr(function, "__name__", stage)
    owner = owner_of(candidate)
    member = "its import" if stage == "import" else f"{name}()"

    def attempt() -> Any:
        try:
            return traced(candidate.module, name, function, *args)
        except BenchError as error:
            raise _BrokenPlugin(stage, error.message, error.hint) from error
        except BaseException as error:
            # Includes SystemExit: a plugin must not end the command.
            raise _BrokenPlugin(
                stage,
                f"{type(error).__name__}: {text_of(error)}",
                "run again with --debug for the traceback, or reinstall the plugin",
            ) from error

    try:
        return call(owner, member, stage, attempt, meant=(_BrokenPlugin,))
    except BenchError as error:  # It did not return in time.
        message = error.message.removeprefix(f"{owner}: ")
        raise _BrokenPlugin(stage, message, error.hint) from error
