"""The conformance kit's machinery: checks, what they are run on, and what they found.

A check is a function of one :class:`Subject` with a docstring that says what it demands and how to
mend a plugin that fails it. It returns when the plugin is sound, calls :func:`fail` when it is
not, and :func:`skip` when it cannot tell, with the reason. pytest is not needed here: the same
checks run in ``bench plugins check`` and in an author's tests.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import attrs

from tokenbench.api import BenchError


class CheckFailed(AssertionError):
    """A plugin breaks the contract."""


class CheckSkipped(Exception):
    """A check cannot tell here; the message says why."""


def fail(message: str) -> NoReturn:
    """The plugin is not sound."""
    raise CheckFailed(message)


def skip(reason: str) -> NoReturn:
    """This check cannot tell: something is absent, or the author gave no data for it."""
    raise CheckSkipped(reason)


@attrs.frozen(kw_only=True)
class Subject:
    """A plugin under test.

    `spec` is what its hook registered, `options` an instance of its options class, made from
    `given`. `data` is what its author gave the kit besides (see the base class of its kind).
    `module` is the hook module's name; `distribution` that of its package, None for one that is
    not installed.
    """

    kind: str
    name: str
    module: str
    spec: Any
    options: Any = None
    given: Mapping[str, Any] = attrs.field(factory=dict)
    data: Mapping[str, Any] = attrs.field(factory=dict)
    distribution: str | None = None

    def want(self, key: str, why: str) -> Any:
        """A piece of the author's data; skips where it was not given."""
        value = self.data.get(key)
        if value is None or value == ():
            skip(f"needs {key!r} from its author's test class: {why}")
        return value


CheckFunction = Callable[[Subject], None]


@attrs.frozen
class KitCheck:
    """One check. `kinds` empty: every kind."""

    name: str
    level: int
    kinds: tuple[str, ...]
    function: CheckFunction

    @property
    def doc(self) -> str:
        """What it demands, and how to mend what fails it."""
        return inspect.getdoc(self.function) or ""


_CHECKS: dict[str, KitCheck] = {}


def check(level: int, *kinds: str) -> Callable[[CheckFunction], CheckFunction]:
    """Register a check of these kinds (none: all). Its name is the function's, with dashes.

    Levels: 0 package and import, 1 data, 2 pure behaviour, 3 life cycle with a scripted server,
    4 the real thing.
    """

    def add(function: CheckFunction) -> CheckFunction:
        name = function.__name__.replace("_", "-")
        assert name not in _CHECKS, name
        assert inspect.getdoc(function), name
        _CHECKS[name] = KitCheck(name, level, kinds, function)
        return function

    return add


def all_checks() -> tuple[KitCheck, ...]:
    """Every check there is, by level and name."""
    from . import checks

    checks.load()
    return tuple(sorted(_CHECKS.values(), key=lambda c: (c.level, c.name)))


def checks_of(kind: str, levels: Iterable[int] = range(5)) -> tuple[KitCheck, ...]:
    """The checks of a kind."""
    wanted = set(levels)
    return tuple(c for c in all_checks() if c.level in wanted and (not c.kinds or kind in c.kinds))


class Verdict(enum.StrEnum):
    """What a check found."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@attrs.frozen(kw_only=True)
class Finding:
    """A check's verdict with its reason."""

    check: KitCheck
    verdict: Verdict
    reason: str = ""


def run_check(item: KitCheck, subject: Subject) -> Finding:
    """Run one check. What the plugin raises where it must not is a refusal."""
    try:
        item.function(subject)
    except CheckSkipped as skipped:
        return Finding(check=item, verdict=Verdict.SKIPPED, reason=str(skipped))
    except CheckFailed as refusal:
        return Finding(check=item, verdict=Verdict.FAILED, reason=str(refusal))
    except BenchError as error:
        reason = f"{type(error).__name__}: {error.message} ({error.hint})"
        return Finding(check=item, verdict=Verdict.FAILED, reason=reason)
    except Exception as error:
        reason = f"raised {type(error).__name__}: {error}"
        return Finding(check=item, verdict=Verdict.FAILED, reason=reason)
    return Finding(check=item, verdict=Verdict.OK)
