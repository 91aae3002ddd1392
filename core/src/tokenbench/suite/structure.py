"""Plain data to a :class:`Suite`: strict types, unknown keys refused, errors with their path."""

from __future__ import annotations

import difflib
import functools
import re
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn

from tokenbench.api import FlagValue, FrozenMap, Topology, UsageError, freeze

from .forms import form_hint
from .options import check_finite, holds_list, type_arms
from .plugin_ref import parse_hardware_ref, parse_plugin_ref
from .schema import (
    SUITE_VERSION,
    AccuracyRequest,
    DeploymentRequest,
    FindRequest,
    LoadRequest,
    PluginRef,
    PoolRequest,
    RepeatsRequest,
    RoleSettings,
    SkuRef,
    Suite,
    TelemetryRequest,
    YamlOptions,
)
from .shown import kind_of, shown
from .yaml_lines import Document, read

# Inner classes first: cattrs looks up the hooks of a class's keys when its own is made.
_CLASSES = (
    Topology,
    PoolRequest,
    FindRequest,
    LoadRequest,
    RoleSettings,
    DeploymentRequest,
    TelemetryRequest,
    AccuracyRequest,
    Suite,
)


def read_suite(file: Path) -> tuple[Suite, Document]:
    """Read a suite file: syntax and types of every key, not what the keys mean together.

    Raises:
        UsageError: with ``file:line: path: what was expected, what was found``.
    """
    document = read(file)
    data = document.data
    if not isinstance(data, dict):
        what = "nothing: the file is empty" if data is None else kind_of(data)
        raise UsageError(
            f"{document.where('')}: expected a mapping of keys, got {what}",
            hint=f"keys: {', '.join(_names(Suite))}",
        )
    version = data.get("version", SUITE_VERSION)
    if version != SUITE_VERSION:
        raise UsageError(
            f"{document.where('version')}: this bench reads suites of version {SUITE_VERSION}, "
            f"not {shown(version)}",
            hint="install a version of tokenbench that reads it",
        )
    return structure(document), document


def structure(document: Document) -> Suite:
    """A suite from parsed data."""
    try:
        return _converter(document.text_options).structure(document.data, Suite)
    except (cattrs.BaseValidationError, ValueError) as error:
        path, message = _first(error)
        hint = _hint(path, message)
        raise UsageError(f"{document.where(path)}: {message}", hint=hint) from None


def unstructure(suite: Suite) -> dict[str, Any]:
    """A suite as plain data that :func:`read_suite` reads again."""
    return {name: _plain(getattr(suite, name)) for name in _names(Suite)}


def _plain(value: Any) -> Any:
    if isinstance(value, PluginRef):
        return {value.key: _plain(value.options)}
    if isinstance(value, SkuRef):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if attrs.has(type(value)):
        return {name: _plain(getattr(value, name)) for name in _names(type(value))}
    return value


@functools.cache
def _converter(text_options: bool) -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind, name in ((int, "int"), (str, "text"), (bool, "true or false")):
        converter.register_structure_hook(kind, _exact(kind, name))
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(int | str, _workers)
    converter.register_structure_hook(PluginRef, functools.partial(_chosen, text=text_options))
    converter.register_structure_hook(
        PluginRef | SkuRef, functools.partial(_hardware, text=text_options)
    )
    converter.register_structure_hook(
        PluginRef | SkuRef | None, functools.partial(_maybe_hardware, text=text_options)
    )
    converter.register_structure_hook_func(lambda kind: kind == FrozenMap[FlagValue], _flags)
    converter.register_structure_hook_func(lambda kind: kind == FrozenMap[str], _variables)
    converter.register_structure_hook_func(
        lambda kind: kind == FrozenMap[RoleSettings],
        lambda value, _: FrozenMap(
            converter.structure(_mapping(value, None, frozen=False), dict[str, RoleSettings])
        ),
    )
    converter.register_structure_hook_func(lambda kind: kind == FrozenMap[float], _numbers)
    converter.register_structure_hook_func(lambda kind: kind == FrozenMap[Any], _json)
    converter.register_structure_hook(RepeatsRequest, _repeats)
    for cls in _CLASSES:
        inner = make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True)
        converter.register_structure_hook(cls, _containers_first(cls, inner))
    return converter


def _containers_first(cls: type[Any], inner: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """`inner`, once the value is a mapping and its lists are lists: cattrs would take strings and
    mappings for lists of their characters and keys.
    """
    kinds = typing.get_type_hints(cls).items()
    lists = {name: type(None) in type_arms(kind) for name, kind in kinds if holds_list(kind)}

    def structure_it(value: Any, kind: Any) -> Any:
        _expect(value, dict, "a mapping")
        for name, optional in lists.items():
            if name in value and not (optional and value[name] is None):
                _expect(value[name], list, "a list", at=f"{name}: ")
        return inner(value, kind)

    return structure_it


def _expect(value: Any, kind: Any, name: str, at: str = "") -> None:
    if not isinstance(value, kind):
        raise ValueError(f"{at}expected {name}, got {kind_of(value)}")


def _exact(kind: type[Any], name: str) -> Callable[[Any, Any], Any]:
    def structure_it(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"expected {name}, got {shown(value)}")
        return value

    return structure_it


def _number(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"expected a number, got {shown(value)}")
    return float(value)


def _repeats(value: Any, _: Any) -> RepeatsRequest:
    """``3``, or a mapping of the keys of :class:`RepeatsRequest`."""
    if type(value) is int:
        try:
            return RepeatsRequest(at_least=value, at_most=value)
        except ValueError as error:
            raise ValueError(str(error).partition(": ")[2]) from None
    if not isinstance(value, dict):
        raise ValueError(f"expected int or a mapping, got {shown(value)}")
    keys = dict(value)
    if unknown := [key for key in keys if key not in _names(RepeatsRequest)]:
        raise ValueError(f"unknown key {unknown[0]}")
    for key in ("at_least", "at_most"):
        if key in keys and type(keys[key]) is not int:
            raise ValueError(f"{key}: expected int, got {shown(keys[key])}")
    keys.setdefault("at_most", max(keys.setdefault("at_least", 3), 10))
    if "precision" in keys:
        keys["precision"] = parse_share(keys["precision"])
    return RepeatsRequest(**keys)


def parse_share(value: Any) -> float:
    """``5%`` or ``0.05``, as text or as a number.

    Raises:
        ValueError: it is neither.
    """
    text = str(value).strip()
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise ValueError(f"precision: expected a share such as 5%, got {shown(value)}") from None


def _workers(value: Any, _: Any) -> int | str:
    if type(value) not in (int, str):
        raise ValueError(f"expected auto or a number, got {shown(value)}")
    found: int | str = value
    return found


def _mapping(value: Any, _: Any, *, frozen: bool = True) -> FrozenMap[Any]:
    _expect(value, dict, "a mapping")
    return FrozenMap({key: freeze(item) if frozen else item for key, item in value.items()})


def _json(value: Any, _: Any) -> FrozenMap[Any]:
    found = _mapping(value, None)
    check_finite(found, "")
    return found


def _numbers(value: Any, _: Any) -> FrozenMap[float]:
    found = _mapping(value, None)
    for name, number in found.items():
        if type(number) not in (int, float):
            raise ValueError(f"{name}: expected a number, got {shown(number)}")
    return FrozenMap({name: float(number) for name, number in found.items()})


def _flags(value: Any, _: Any) -> FrozenMap[FlagValue]:
    found = _mapping(value, None)
    for name, flag in found.items():
        if not name.startswith("-"):
            raise ValueError(f"{name}: expected a flag that begins with -, got {name!r}")
        check_finite(flag, name)
        if isinstance(flag, Mapping):  # For flags whose value is JSON.
            continue
        for item in flag if isinstance(flag, tuple) else (flag,):
            if isinstance(item, Mapping | tuple) or (item is None and item is not flag):
                raise ValueError(f"{name}: expected one value or a list, got {kind_of(item)}")
    return found


def _variables(value: Any, _: Any) -> FrozenMap[str]:
    """Text. Whole numbers become text; other values that YAML converts are refused."""
    found = _mapping(value, None)
    for name, text in found.items():
        if not name or "=" in name or "\0" in name:
            raise ValueError(f"{name}: {name!r} cannot be the name of a variable")
        if type(text) not in (str, int):
            raise ValueError(f"{name}: expected text in quotes, got {kind_of(text)}")
    return FrozenMap({name: str(text) for name, text in found.items()})


def _chosen(value: Any, _: Any, *, text: bool = False) -> PluginRef:
    """``name``, ``name:key=value`` or ``{name: {key: value}}``.

    Args:
        text: option values that are text come from a command line.
    """
    if isinstance(value, str):
        try:
            return parse_plugin_ref(value, where="here")
        except UsageError as error:
            raise ValueError(error.message.removeprefix("here: ")) from None
    if isinstance(value, dict) and len(value) == 1:
        ((name, options),) = value.items()
        if options is None:
            return PluginRef.of(name)
        _expect(options, dict, "a mapping of options", at=f"{name}: ")
        given = _mapping(options, None)
        return PluginRef.of(name, given if text else YamlOptions(given))
    keys = f" with the keys {', '.join(value)}" if value and isinstance(value, dict) else ""
    raise ValueError(f"expected NAME or {{NAME: {{key: value}}}}, got {kind_of(value)}{keys}")


def _hardware(value: Any, kind: Any, *, text: bool = False) -> PluginRef | SkuRef:
    """``sku:8``, or a plugin like :func:`_chosen`."""
    if not isinstance(value, str):
        return _chosen(value, kind, text=text)
    try:
        return parse_hardware_ref(value, where="here")
    except UsageError as error:
        raise ValueError(error.message.removeprefix("here: ")) from None


def _maybe_hardware(value: Any, kind: Any, *, text: bool = False) -> PluginRef | SkuRef | None:
    return None if value is None else _hardware(value, kind, text=text)


def _first(error: Exception) -> tuple[str, str]:
    """Path and message of the first error found."""
    path, message = "", _format(error, None)
    if isinstance(error, cattrs.BaseValidationError):
        text = cattrs.transform_error(error, path="", format_exception=_format)[0]
        message, _, path = text.rpartition(" @ ")
        # cattrs writes the keys of a mapping as Python does.
        path = re.sub(r"\['([^']*)'\]", r".\1", path).removeprefix("$").removeprefix(".")
    if extra := re.match(r"unknown key (\S+)", message):
        return _join(path, extra[1]), message
    # What a class says of one of its keys begins with that key.
    key, colon, rest = message.partition(": ")
    if colon and " " not in key:
        return _join(path, key), rest
    return path, message


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _format(error: BaseException, kind: type[Any] | None) -> str:
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        return f"unknown key {min(error.extra_fields)}"
    if isinstance(error, KeyError):
        return f"the key {error.args[0]!r} is missing"
    if isinstance(error, ValueError | cattrs.StructureHandlerNotFoundError) and error.args:
        return str(error.args[0])
    if isinstance(error, OverflowError):
        return "the number is too large"
    return f"{type(error).__name__}: {error}"


_RENAMED = {"precision": "weights", "tp": "topology", "options": "engine"}
"""Keys of other tools and of older suites, and what to write instead."""


def _hint(path: str, message: str) -> str:
    if not message.startswith("unknown key"):
        return form_hint(path)
    parent, _, key = path.rpartition(".")
    names = _names(_class_at(parent))
    close = difflib.get_close_matches(key, names, n=1)
    if not close and _RENAMED.get(key) in names:
        close = [_RENAMED[key]]
    listed = f"keys here: {', '.join(names)}"
    return f"did you mean {close[0]!r}? ({listed})" if close else listed


def _names(cls: Any) -> list[str]:
    return [field.name for field in attrs.fields(cls)]


def _class_at(path: str) -> Any:
    if re.search(r"\.roles\.[^.]+$", path):
        return RoleSettings
    last = re.sub(r"\[\d+\]", "", path).split(".")[-1]
    return {
        "deployments": DeploymentRequest,
        "load": LoadRequest,
        "find": FindRequest,
        "repeats": RepeatsRequest,
        "topology": Topology,
        "pools": PoolRequest,
    }.get(last, Suite)
