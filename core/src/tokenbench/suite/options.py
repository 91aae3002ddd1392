"""A plugin's options: from strings or YAML values to an instance of its options class."""

from __future__ import annotations

import difflib
import json
import types
import typing
from collections.abc import Mapping
from typing import Any

import attrs

from tokenbench.api import FrozenMap, PluginError, UsageError

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


def build_options(cls: type[Any], raw: Mapping[str, Any], *, where: str) -> Any:
    """Construct `cls` from raw options.

    Args:
        where: the path or flag of the options, for errors.

    Raises:
        UsageError: an unknown, missing or invalid option.
        PluginError: the options class itself failed.
    """
    fields = {field.name: field for field in attrs.fields(cls)}
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in fields:
            raise UsageError(f"{where}: unknown option {key!r}", hint=_known(key, fields))
        try:
            values[key] = _convert(value, hints[key])
        except ValueError as error:
            raise UsageError(f"{where}.{key}: {error}", hint=_help(fields[key])) from None
    missing = [
        name for name, f in fields.items() if f.default is attrs.NOTHING and name not in values
    ]
    if missing:
        raise UsageError(
            f"{where}: the option {missing[0]!r} is required",
            hint=_help(fields[missing[0]]),
        )
    try:
        return cls(**values)
    except ValueError as error:
        raise UsageError(f"{where}: {error}", hint=_known("", fields)) from None
    except Exception as error:
        raise PluginError(
            f"{where}: could not construct its options: {type(error).__name__}: {error}",
            hint="report it to the plugin's author",
        ) from error


def _known(key: str, fields: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(key, fields, n=1)
    listed = f"options: {', '.join(fields)}" if fields else "it has no options"
    return f"did you mean {close[0]!r}? ({listed})" if close else listed


def _help(field: Any) -> str:
    unit = f" ({field.metadata['unit']})" if field.metadata.get("unit") else ""
    return f"{field.name}: {field.metadata.get('help', '')}{unit}"


def _convert(value: Any, kind: Any) -> Any:
    """Convert `value` to `kind`: strings (from flags) are parsed, other values must fit."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        options = [arm for arm in typing.get_args(kind) if arm is not type(None)]
        if value is None or (value == "none" and len(options) < len(typing.get_args(kind))):
            return None
        return _convert(value, options[0])
    if origin is tuple:
        items = value.split("/") if isinstance(value, str) else list(value)
        return tuple(_convert(item, typing.get_args(kind)[0]) for item in items)
    if origin is FrozenMap:
        return _frozen_map(value, typing.get_args(kind)[0])
    reader = _READERS.get(kind)
    if reader is None:
        return value
    return reader(value)


def _frozen_map(value: Any, kind: Any) -> FrozenMap[Any]:
    """A mapping, or a JSON object as text; of text values only, if the option says so."""
    if isinstance(value, str):
        try:
            value = json.loads(value, parse_constant=_no_constant)
        except ValueError:
            raise ValueError(f"expected a JSON object, got {value!r}") from None
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping, got {value!r}")
    for key, item in value.items():
        if not isinstance(key, str):
            raise ValueError(f"expected text as a key, got {key!r}")
        if kind is str and not isinstance(item, str):
            raise ValueError(f"{key}: expected text, got {item!r}")
    return FrozenMap({key: freeze(item) for key, item in value.items()})


def _no_constant(name: str) -> float:
    raise ValueError(name)  # NaN and Infinity are not JSON.


def freeze(value: Any) -> Any:
    """JSON data as immutable, hashable data."""
    if isinstance(value, Mapping):
        return FrozenMap({str(key): freeze(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple(freeze(item) for item in value)
    return value


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text in _TRUE | _FALSE:
        return text in _TRUE
    raise ValueError(f"expected true or false, got {value!r}")


def _int(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return int(value.replace("_", ""))
        except ValueError:
            pass
    raise ValueError(f"expected int, got {value!r}")


def _float(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    raise ValueError(f"expected a number, got {value!r}")


def _str(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"expected text, got {value!r}")


_READERS: dict[Any, Any] = {bool: _bool, int: _int, float: _float, str: _str}
