"""Plugin options: one attrs class defines suite keys, command-line parameters and documentation.

Example::

    from tokenbench.api import option, options

    @options
    class RandomOptions:
        input_tokens: int = option(default=1024, help="length of a prompt", unit="tokens")

A field is text, `int`, `float`, `bool`, one of those or None, or a tuple of those. A suite has YAML
values. On a command line, ``NAME:key=value,key=value``, values are text:

=================== ==========================================================================
``int``, ``float``  ``1_000``, ``0.5``
``bool``            ``true``, ``yes``, ``on``, ``1``; ``false``, ``no``, ``off``, ``0``
``int | None``      a number, or ``none``
``tuple[int, ...]`` values with a slash between them: ``1/4/16``
text with a comma   in quotes: ``NAME:words='one,two'``
=================== ==========================================================================

An option that sets one flag of the engine has `flag`, for :func:`option_flags`. One that has a
meaning only together with another has `needs`. Put other checks of several options into
``__attrs_post_init__``: a ValueError there is shown as a usage error, exit code 2.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

import attrs

from .errors import UsageError
from .flags import FlagValue

_NO_DEFAULT: Any = attrs.NOTHING
T = TypeVar("T")
# Programs that plugins start take 64-bit integers, and Python cannot divide much larger ones.
_MOST = 2**63 - 1


def option(
    *,
    help: str,
    default: Any = _NO_DEFAULT,
    unit: str | None = None,
    choices: tuple[str, ...] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    check: Callable[[Any], object] | None = None,
    flag: str | None = None,
    needs: str | None = None,
    secret: bool = False,
    identity: bool = True,
) -> Any:
    """One option of a plugin. The items of a list are checked one by one. Numbers must be finite.

    Args:
        help: what it does; shown in error messages and documentation. Required.
        default: value if the user gives none. Without it the option is required.
        unit: the unit of the value, for documentation (`tokens`, `s`, ...).
        choices: the allowed values.
        minimum: the smallest allowed number.
        maximum: the largest allowed number.
        check: called with the value (unless that is None); raises ValueError with what was
            expected, such as :func:`http_url` and :func:`variable_name` do.
        flag: the flag of the engine's program that gets the value.
        needs: another option, ``NAME=VALUE``, or ``NAME`` for any value but its default. Otherwise
            only the default is accepted.
        secret: never shown, stored or put in argv. Prefer the NAME of an environment variable.
        identity: False for a value that does not change what is measured (a URL, a path); it is
            not part of a point's identity.
    """
    if not help.strip():
        raise TypeError("an option needs a help text")
    metadata = {
        "help": help,
        "unit": unit,
        "choices": choices,
        "minimum": minimum,
        "maximum": maximum,
        "flag": flag,
        "needs": needs,
        "secret": secret,
        "identity": identity,
    }
    return attrs.field(
        default=default,
        metadata=metadata,
        validator=_validator(choices, minimum, maximum, check),
        repr=not secret,
    )


def _validator(
    choices: tuple[str, ...] | None,
    minimum: float | None,
    maximum: float | None,
    check: Callable[[Any], object] | None,
) -> Any:
    def validate(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        for item in value if isinstance(value, tuple) else (value,):
            if item is None:
                continue
            try:
                _within(item, choices, minimum, maximum)
                if check is not None:
                    check(item)
            except ValueError as error:
                raise ValueError(f"{attribute.name}: {error}") from None

    return validate


def _within(
    value: Any, choices: tuple[str, ...] | None, minimum: float | None, maximum: float | None
) -> None:
    if choices is not None and value not in choices:
        raise ValueError(f"expected one of {', '.join(choices)}, got {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {value}")
    if isinstance(value, int) and abs(value) > _MOST:
        raise ValueError("the number is too large")
    if minimum is not None and value < minimum:
        raise ValueError(f"expected at least {minimum:g}, got {value!r}")
    if maximum is not None and value > maximum:
        raise ValueError(f"expected at most {maximum:g}, got {value!r}")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(option,))
def options(cls: type[T]) -> type[T]:
    """Make `cls` a frozen, slotted, keyword-only options class.

    Raises:
        TypeError: a field was not made with :func:`option`, so it has no help, or needs an option
            that the class does not have.
    """
    own_check = getattr(cls, "__attrs_post_init__", None)

    def check(self: Any) -> None:
        _check_needs(self)
        if own_check is not None:
            own_check(self)

    cls.__attrs_post_init__ = check  # type: ignore[attr-defined]
    made = attrs.frozen(kw_only=True, slots=True)(cls)
    fields = attrs.fields_dict(made)  # type: ignore[arg-type]
    for name, field in fields.items():
        if "help" not in field.metadata:
            raise TypeError(f"{cls.__name__}.{name}: define it with option(help=...)")
        needs = field.metadata["needs"]
        if needs is not None and needs.partition("=")[0] not in fields:
            raise TypeError(f"{cls.__name__}.{name}: there is no option {needs!r}")
    return made


def _check_needs(made: Any) -> None:
    fields = attrs.fields_dict(type(made))
    for name, field in fields.items():
        needs = field.metadata["needs"]
        if needs is None or getattr(made, name) == field.default:
            continue
        other, wants, wanted = needs.partition("=")
        value = getattr(made, other)
        if _text(value) == wanted if wants else value != fields[other].default:
            continue
        raise ValueError(f"{name} needs {needs}" + ("" if wants else f", which is {_text(value)}"))


def _text(value: Any) -> str:
    """A value as it is written in a suite."""
    named = {None: "none", True: "true", False: "false"}
    return named[value] if value is None or isinstance(value, bool) else str(value)


def option_flags(made: Any) -> dict[str, FlagValue]:
    """The flags of options that have one, with their values. No flag for an option that is None,
    empty, or False by default.
    """
    found: dict[str, FlagValue] = {}
    for field in attrs.fields(type(made)):
        value, flag = getattr(made, field.name), field.metadata["flag"]
        off = value is None or value == () or (value is False and field.default is False)
        if flag is not None and not off:
            found[flag] = value
    return found


def refuse_unused(made: Any, *names: str, because: str) -> None:
    """Check that the named options have their defaults, because the deployment does not use them.

    Args:
        because: why, for the error: ``there are no pools for prefill and decode``.

    Raises:
        UsageError: one has another value.
    """
    fields = attrs.fields_dict(type(made))
    for name in names:
        if getattr(made, name) != fields[name].default:
            raise UsageError(f"{name}: {because}, so it would have no effect", hint="leave it out")


def named_values(text: str, where: str) -> dict[str, Any]:
    """Parse ``KEY=VALUE,KEY=VALUE``, an option that holds the options of another plugin. Numbers,
    true, false and null are parsed; the rest is text.

    Args:
        where: the option's name, for the error.

    Raises:
        ValueError: an item is not KEY=VALUE, or a key is given twice.
    """
    values: dict[str, Any] = {}
    for item in filter(None, text.split(",")):
        key, equals, value = item.strip().partition("=")
        if not (key and equals):
            raise ValueError(f"{where}: expected KEY=VALUE, got {item!r}")
        if key in values:
            raise ValueError(f"{where}: {key} is given twice")
        try:
            values[key] = json.loads(value)
        except ValueError:
            values[key] = value
    return values


@options
class NoOptions:
    """For plugins without options."""
