"""The conformance kit: checks, their subject, and their findings.

A check is a function of one :class:`Subject`. Its docstring states the requirement and how to fix a
plugin that fails it. It returns if the plugin conforms, calls :func:`fail` if it does not, and
:func:`skip` if it cannot decide. Checks do not need pytest: they run in ``bench plugins check`` and
in authors' tests.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import attrs

from tokenbench.api import BenchError, NoOptions
from tokenbench.harness import PluginTooSlow, call, limit_s, plugin_context

# The first level that starts servers, and characters of the stack of a check that hangs.
_SERVERS, _LONGEST_STACK = 3, 600


class CheckFailed(AssertionError):
    """A plugin violates the contract."""


class CheckSkipped(Exception):
    """A check cannot decide; the message says why."""


def fail(message: str) -> NoReturn:
    """End a check: the plugin does not conform."""
    raise CheckFailed(message)


def skip(reason: str) -> NoReturn:
    """End a check without a verdict: hardware, a package or the author's data is missing."""
    raise CheckSkipped(reason)


@attrs.frozen(kw_only=True)
class Subject:
    """A plugin under test.

    `spec`: what its hook registered. `options`: an instance of its options class, made from
    `given`. `data`: the author's data for the kit (see the base class of its kind). `module`: name
    of the hook module. `distribution`: name of its distribution, None if it is not installed.
    """

    kind: str
    name: str
    module: str
    spec: Any
    options: Any = None
    given: Mapping[str, Any] = attrs.field(factory=dict)
    data: Mapping[str, Any] = attrs.field(factory=dict)
    distribution: str | None = None

    def create(self) -> Any:
        """A new object, as the plugin's factory makes it."""
        context = self.data.get("context") or plugin_context()
        return self.spec.factory(NoOptions() if self.options is None else self.options, context)

    def want(self, key: str, why: str) -> Any:
        """The author's data for `key`; skips the check if there is none."""
        value = self.data.get(key)
        if value is None or value == ():
            skip(f"needs {key!r} in the author's test class: {why}")
        return value


CheckFunction = Callable[[Subject], None]


@attrs.frozen
class KitCheck:
    """One check. `kinds` empty: all kinds."""

    name: str
    level: int
    kinds: tuple[str, ...]
    function: CheckFunction

    @property
    def doc(self) -> str:
        """The requirement, and how to fix a plugin that fails it."""
        return inspect.getdoc(self.function) or ""


_CHECKS: dict[str, KitCheck] = {}


def check(level: int, *kinds: str) -> Callable[[CheckFunction], CheckFunction]:
    """Register a check for these kinds (none: all). Its name is the function's name with dashes.

    Levels: 0 package and import, 1 data, 2 pure behaviour, 3 life cycle with a scripted server, 4
    real servers, devices and weights.
    """

    def add(function: CheckFunction) -> CheckFunction:
        name = function.__name__.replace("_", "-")
        assert name not in _CHECKS, name
        assert inspect.getdoc(function), name
        _CHECKS[name] = KitCheck(name, level, kinds, function)
        return function

    return add


def all_checks() -> tuple[KitCheck, ...]:
    """All checks, by level and name."""
    from . import checks

    checks.load()
    return tuple(sorted(_CHECKS.values(), key=lambda c: (c.level, c.name)))


def checks_of(kind: str, levels: Iterable[int] = range(5)) -> tuple[KitCheck, ...]:
    """The checks of a kind."""
    wanted = set(levels)
    return tuple(c for c in all_checks() if c.level in wanted and (not c.kinds or kind in c.kinds))


class Verdict(enum.StrEnum):
    """Result of a check."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@attrs.frozen(kw_only=True)
class Finding:
    """A check's verdict with the reason."""

    check: KitCheck
    verdict: Verdict
    reason: str = ""


def run_check(item: KitCheck, subject: Subject) -> Finding:
    """Run one check. An exception of the plugin is a failure, and so is a check that does
    not end in time.
    """
    limit = "check" if item.level < _SERVERS else "long-check"
    try:
        call(
            f"{subject.kind} {subject.name!r}",
            item.name,
            limit,
            lambda: item.function(subject),
            meant=(CheckSkipped, CheckFailed),
        )
    except PluginTooSlow as slow:
        reason = f"the plugin did not return within {limit_s(limit):g} s"
        where = "".join(getattr(slow, "__notes__", ()))[-_LONGEST_STACK:]
        return Finding(check=item, verdict=Verdict.FAILED, reason=f"{reason}; {where}")
    except CheckSkipped as skipped:
        return Finding(check=item, verdict=Verdict.SKIPPED, reason=str(skipped))
    except CheckFailed as failure:
        return Finding(check=item, verdict=Verdict.FAILED, reason=str(failure))
    except BenchError as error:
        cause = error.__cause__
        reason = f"{type(error).__name__}: {error.message} ({error.hint})"
        if cause is not None and not isinstance(cause, BenchError):
            reason = f"raised {type(cause).__name__}: {cause}"
        return Finding(check=item, verdict=Verdict.FAILED, reason=reason)
    return Finding(check=item, verdict=Verdict.OK)
