"""Level 1: the options class is frozen and documented, and its values round-trip through text."""

from __future__ import annotations

from typing import Any

import attrs

from tokenbench.api import FrozenMap, UsageError
from tokenbench.harness import build_options, canonical_json, kind_of
from tokenbench_testing.kit import Subject, check, fail, skip


def _options(subject: Subject) -> type[Any]:
    options = getattr(subject.spec, "options", None)
    if kind_of(subject.kind).spec_name is None:  # The spec of these kinds is their module.
        made = getattr(subject.spec, "bench_use_options", None)
        options = None if made is None else made()
    if options is None:
        skip("it has no options")
    found: type[Any] = options
    return found


def _fields(subject: Subject) -> tuple[Any, ...]:
    options = _options(subject)
    if not attrs.has(options):
        skip("see options-are-frozen")
    return tuple(attrs.fields(options))


@check(1)
def options_are_frozen(subject: Subject) -> None:
    """The options class is frozen and keyword-only.

    To fix: decorate it with `tokenbench.api.options`.
    """
    options = _options(subject)
    if not attrs.has(options):
        fail(f"{options.__name__} is not decorated with @options")
    fields = attrs.fields(options)
    made = subject.options
    if made is None or not fields:
        return
    try:
        setattr(made, fields[0].name, getattr(made, fields[0].name))
    except attrs.exceptions.FrozenInstanceError:
        return
    fail(f"{options.__name__}.{fields[0].name} can be changed")


@check(1)
def options_have_help(subject: Subject) -> None:
    """Each option has a help text; errors and the plugin's page show it.

    To fix: define each with `option(help=...)`.
    """
    for field in _fields(subject):
        if not str(field.metadata.get("help", "")).strip():
            fail(f"the option {field.name!r} has no help")


@check(1)
def options_have_units(subject: Subject) -> None:
    """An option's unit matches the ending of its name.

    To fix: make `option(unit=...)` and the name agree: `timeout_s` is in `s`.
    """
    endings = {"_s": "s", "_ms": "ms", "_tokens": "tokens", "_bytes": "bytes", "_w": "W"}
    for field in _fields(subject):
        for ending, unit in endings.items():
            stated = field.metadata.get("unit")
            if field.name.endswith(ending) and stated not in (None, unit):
                fail(f"{field.name!r} has the unit {stated!r}, expected {unit!r}")


@check(1)
def option_defaults_are_valid(subject: Subject) -> None:
    """Defaults pass the options' own validation (choices, minimum, type).

    To fix: change the default or the validation.
    """
    fields = _fields(subject)
    given = {f.name: f.default for f in fields if f.default is not attrs.NOTHING}
    required = [f.name for f in fields if f.default is attrs.NOTHING]
    if set(required) - set(subject.given):
        skip(f"set the required options: {', '.join(required)}")
    for name, value in given.items():
        if isinstance(value, attrs.Factory):  # type: ignore[arg-type]
            continue
        try:
            build_options(_options(subject), {**subject.given, name: value}, where="default")
        except UsageError as error:
            fail(error.message)


@check(1)
def options_round_trip(subject: Subject) -> None:
    """Values written as text, as on a command line, are parsed to the same values. Types are text,
    int, float, bool, an optional one of those, a tuple of those, or a FrozenMap (as JSON).

    To fix: use one of these types.
    """
    made = subject.options
    if made is None:
        skip("it has no options")
    for field in _fields(subject):
        value = getattr(made, field.name)
        if value is None or value == ():  # The option is left out.
            continue
        text = _as_text(value)
        again = build_options(type(made), {**subject.given, field.name: text}, where="as text")
        if getattr(again, field.name) != value:
            fail(f"{field.name}={text} is parsed as {getattr(again, field.name)!r}")


def _as_text(value: Any) -> str:
    if isinstance(value, FrozenMap):
        return canonical_json(value)
    return "/".join(map(str, value)) if isinstance(value, tuple) else str(value)


@check(1)
def options_are_hashable(subject: Subject) -> None:
    """Options are a value: hashable, and equal to options created from the same values.

    To fix: use tuples instead of lists, and no objects of custom classes.
    """
    made = subject.options
    if made is None:
        skip("it has no options")
    try:
        hash(made)
    except TypeError as error:
        fail(f"its options are not hashable: {error}")
    if build_options(type(made), subject.given, where="again") != made:
        fail("options created from the same values differ")


@check(1)
def secrets_are_not_shown(subject: Subject) -> None:
    """An option for a secret (its name contains api_key, password, ...) is marked `secret`, or is
    the NAME of an environment variable (`..._env`), which is better.

    To fix: use `api_key_env` with the variable's name, or `option(secret=True)`.
    """
    words = ("api_key", "apikey", "password", "secret", "auth_token", "access_token")
    for field in _fields(subject):
        named = any(word in field.name for word in words) and not field.name.endswith("_env")
        if named and not field.metadata.get("secret"):
            fail(f"{field.name!r} is a secret but not marked as one")
