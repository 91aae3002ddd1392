"""Messages of an engine's log as data: why it failed, and what it does while it starts."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

import attrs
import msgspec

# A message may quote a whole configuration.
_LONGEST = 300


@attrs.frozen(kw_only=True)
class Diagnosis:
    """Why a server failed, by its log. `cause`: one sentence, which names the value or the file
    that is wrong; `hint`: what the user can do.
    """

    cause: str
    hint: str | None = None


class _Name(msgspec.Struct, forbid_unknown_fields=True):
    pattern: str
    default: str


class _Cause(msgspec.Struct, forbid_unknown_fields=True):
    pattern: str
    cause: str
    hint: str | None = None
    last: bool = False


class _Phase(msgspec.Struct, forbid_unknown_fields=True):
    pattern: str
    says: str


class _File(msgspec.Struct, forbid_unknown_fields=True):
    names: dict[str, _Name] = {}
    cause: list[_Cause] = []
    phase: list[_Phase] = []


@attrs.frozen
class LogMessages:
    r"""The messages of a TOML file in a package; the file is read when first needed.

    Example::

        [names.port]                      # a text that messages below may use
        pattern = '''listening on (\d+)'''
        default = "8000"

        [[cause]]                         # the first one that is found is the cause
        pattern = '''address already in use'''
        cause = "the port {port} is already in use"
        hint = "end the program that uses it, or leave out the port"

        [[phase]]                         # the one that is found last says what a start does
        pattern = '''Loading weights: +(\d+)%'''
        says = "loading weights {0} %"

    Patterns are Python's regular expressions, in which ``^`` and ``$`` match at lines. `cause`,
    `hint` and `says` are formatted with the groups of the match by number, and the first two with
    the names. `last = true` takes the last match in the log instead of the first, for example of an
    exception that is raised while another one is handled.
    """

    package: str
    file: str = "messages.toml"

    def diagnose(self, log: str) -> Diagnosis | None:
        """The cause of a failure; None if the log has none of the messages."""
        known = _read(self.package, self.file)
        for pattern, rule in known.causes:
            found = _match(pattern, log, last=rule.last)
            if found is None:
                continue
            groups = [group.strip() for group in found.groups("")]
            names = {name: _named(at, log, text) for name, (at, text) in known.names.items()}
            return Diagnosis(
                cause=_short(rule.cause.format(*groups, **names)),
                hint=None if rule.hint is None else _short(rule.hint.format(*groups, **names)),
            )
        return None

    def phase(self, log: str) -> str | None:
        """What the latest message says; None before any."""
        latest, says = -1, None
        for pattern, words in _read(self.package, self.file).phases:
            found = _match(pattern, log, last=True)
            if found is not None and found.start() > latest:
                latest, says = found.start(), words.format(*found.groups(""))
        return None if says is None else _short(says)


@attrs.frozen
class _Messages:
    names: dict[str, tuple[re.Pattern[str], str]]
    causes: list[tuple[re.Pattern[str], _Cause]]
    phases: list[tuple[re.Pattern[str], str]]


@functools.cache
def _read(package: str, file: str) -> _Messages:
    # Here, because every command imports this module, and few read a log.
    import tomllib
    from importlib.resources import files

    try:
        text = files(package).joinpath(file).read_text(encoding="utf-8")
        found = msgspec.convert(tomllib.loads(text), _File)
        names = {n: (_compiled(one.pattern), one.default) for n, one in found.names.items()}
        return _Messages(
            names=names,
            causes=[
                (_compiled(one.pattern, one.cause, one.hint or "", names=tuple(names)), one)
                for one in found.cause
            ],
            phases=[(_compiled(one.pattern, one.says), one.says) for one in found.phase],
        )
    except ValueError as error:  # also those of tomllib and msgspec
        raise ValueError(f"{file} of {package}: {error}") from error


def _compiled(pattern: str, *texts: str, names: Sequence[str] = ()) -> re.Pattern[str]:
    """The pattern.

    Raises:
        ValueError: it is invalid, or a text has a placeholder without a group or a name.
    """
    try:
        compiled = re.compile(pattern, re.MULTILINE)
        for text in texts:
            text.format(*[""] * compiled.groups, **dict.fromkeys(names, ""))
    except (re.error, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{pattern}: {error}") from error
    return compiled


def _match(pattern: re.Pattern[str], log: str, *, last: bool) -> re.Match[str] | None:
    if not last:
        return pattern.search(log)
    found = list(pattern.finditer(log))
    return found[-1] if found else None


def _named(pattern: re.Pattern[str], log: str, default: str) -> str:
    found = pattern.search(log)
    groups = () if found is None else found.groups()
    return next((group for group in groups if group), default)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
