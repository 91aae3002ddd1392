"""A plugin's options: from strings or YAML values to an instance of its options class."""

from __future__ import annotations

import difflib
import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from tokenbench.api import BenchError, FrozenMap, PluginError, UsageError, freeze

from .shown import kind_of, shown

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


def build_options(
    cls: type[Any],
    raw: Mapping[str, Any],
    *,
    where: str | Callable[[str], str],
    typed: bool = False,
) -> Any:
    """Construct `cls` from raw options.

    Args:
        where: the path or flag of the options, or a function from an option's name (empty: all of
            them) to its place, for errors.
        typed: the values are from YAML: text is no number. Otherwise all may be text, a list with
            ``/`` between its items.

    Raises:
        UsageError: an unknown, missing or invalid option.
        PluginError: the options class itself failed.
    """
    place = where if callable(where) else lambda key: f"{where}.{key}" if key else str(where)
    fields = {field.name: field for field in attrs.fields(cls)}
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in fields:
            raise UsageError(f"{place('')}: unknown option {key!r}", hint=_known(key, fields))
        try:
            values[key] = _read(value, hints[key], fields[key], typed)
        except ValueError as error:
            raise UsageError(f"{place(key)}: {error}", hint=_help(fields[key])) from None
    missing = [
        name for name, f in fields.items() if f.default is attrs.NOTHING and name not in values
    ]
    if missing:
        raise UsageError(
            f"{place('')}: the option {missing[0]!r} is required",
            hint=_help(fields[missing[0]]),
        )
    try:
        return cls(**values)
    except ValueError as error:
        # The message of an option's validator begins with the option's name.
        key, _, reason = str(error).partition(": ")
        if key not in fields:
            key, _, rest = str(error).partition(" ")
            reason = rest if rest.startswith(("needs ", "is ")) else str(error)
        if key in fields:
            raise UsageError(f"{place(key)}: {reason}", hint=_help(fields[key])) from None
        raise UsageError(f"{place('')}: {error}", hint=_known("", fields)) from None
    except BenchError:
        raise
    except Exception as error:
        raise PluginError(
            f"{place('')}: could not construct its options: {type(error).__name__}: {error}",
            hint="report it to the plugin's author",
        ) from error


def _read(value: Any, kind: Any, field: Any, typed: bool) -> Any:
    if typed and isinstance(value, str):
        for holds, name in ((holds_list, "a list"), (holds_mapping, "a mapping")):
            if holds(kind):
                raise ValueError(f"expected {name}, got a string")
        arms = set(type_arms(kind))
        absent = value == "none" and type(None) in arms
        if not absent and str not in arms and arms & {int, float, bool}:
            wanted = "true or false" if bool in arms else "a number"
            raise ValueError(f"expected {wanted}, got {_got(value)}")
    # If ``none`` is one of the choices, it is that choice, not None.
    chosen = value == "none" and "none" in (field.metadata.get("choices") or ())
    found = value if chosen else _convert(value, kind)
    if isinstance(found, str) and not found.strip() and field.default != found:
        raise ValueError(f'expected text, got "{found}"')
    return found


def _known(key: str, fields: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(key, fields, n=1)
    listed = f"options: {', '.join(fields)}" if fields else "it has no options"
    return f"did you mean {close[0]!r}? ({listed})" if close else listed


def _help(field: Any) -> str:
    unit = f" ({field.metadata['unit']})" if field.metadata.get("unit") else ""
    return f"{field.name}: {field.metadata.get('help', '')}{unit}"


def type_arms(kind: Any) -> list[Any]:
    """The types of a union, or the one type."""
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return list(typing.get_args(kind)) if union else [kind]


def holds_list(kind: Any) -> bool:
    """Whether a value of this type may be a list."""
    return any(typing.get_origin(arm) is tuple for arm in type_arms(kind))


def holds_mapping(kind: Any) -> bool:
    """Whether a value of this type may be a mapping."""
    return any(typing.get_origin(arm) is FrozenMap for arm in type_arms(kind))


def _convert(value: Any, kind: Any) -> Any:
    """Convert `value` to `kind`: strings (from flags) are parsed, other values must fit."""
    arms = type_arms(kind)
    if type(None) in arms and value in (None, "none"):
        return None
    (kind, *_) = [arm for arm in arms if arm is not type(None)]
    if typing.get_origin(kind) is tuple:
        return _list(value, typing.get_args(kind)[0])
    if typing.get_origin(kind) is FrozenMap:
        return _frozen_map(value, typing.get_args(kind)[0])
    reader = _READERS.get(kind)
    if reader is None:
        return value
    return reader(value)


def _list(value: Any, kind: Any) -> tuple[Any, ...]:
    items = value.split("/") if isinstance(value, str) else value
    if items == [""] and kind is not str:
        items = []
    if not isinstance(items, list | tuple):
        raise ValueError(f"expected a list, got {kind_of(value)}")
    found = tuple(_convert(item, kind) for item in items)
    if any(isinstance(item, str) and not item.strip() for item in found):
        raise ValueError("expected a list of texts, one is empty")
    return found


def _frozen_map(value: Any, kind: Any) -> FrozenMap[Any]:
    """A mapping, or a JSON object as text; of text values only, if the option says so."""
    if isinstance(value, str):
        try:
            value = json.loads(value, parse_constant=_no_constant)
        except ValueError:
            raise ValueError(f"expected a JSON object, got {_got(value)}") from None
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping, got {kind_of(value)}")
    for key, item in value.items():
        if not isinstance(key, str):
            raise ValueError(f"expected text as a key, got {key!r}")
        if kind is str and not isinstance(item, str):
            raise ValueError(f"{key}: expected text, got {kind_of(item)}")
    check_finite(value, "")
    return FrozenMap({key: freeze(item) for key, item in value.items()})


def _no_constant(name: str) -> float:
    raise ValueError(name)  # NaN and Infinity are not JSON.


def check_finite(value: Any, at: str) -> None:
    """Check that no number is infinite or nan, however deep: JSON has none.

    Args:
        at: the key of the value.

    Raises:
        ValueError: one is, with its path.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            check_finite(item, f"{at}.{key}" if at else str(key))
    elif isinstance(value, list | tuple):
        for item in value:
            check_finite(item, at)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{at}: expected a finite number, got {value}")


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text in _TRUE | _FALSE:
        return text in _TRUE
    raise ValueError(f"expected true or false, got {_got(value)}")


def _int(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii():
        try:
            return int(value)
        except ValueError:
            pass
    raise ValueError(f"expected int, got {_got(value)}")


def _float(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ValueError("the number is too large") from None
    if isinstance(value, str) and value.isascii():
        try:
            return float(value)
        except ValueError:
            pass
    raise ValueError(f"expected a number, got {_got(value)}")


def _str(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"expected text, got {_got(value)}")


def _got(value: Any) -> str:
    return repr(value) if isinstance(value, str) and len(value) < 60 else shown(value)


_READERS: dict[Any, Any] = {bool: _bool, int: _int, float: _float, str: _str}
