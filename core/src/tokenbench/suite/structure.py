"""Plain data to a :class:`Suite`: strict types, unknown keys refused, errors with their path."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn

from tokenbench.api import FrozenMap, Pool, Topology, UsageError

from .plugin_ref import parse_hardware_ref, parse_plugin_ref
from .schema import (
    SUITE_VERSION,
    DeploymentRequest,
    FindRequest,
    LoadRequest,
    PluginRef,
    RepeatsRequest,
    SkuRef,
    Suite,
)
from .yaml_lines import Document, read

_CLASSES = (Suite, DeploymentRequest, LoadRequest, FindRequest, Topology, Pool)


def read_suite(file: Path) -> tuple[Suite, Document]:
    """Read a suite file: syntax and types of every key, not what the keys mean together.

    Raises:
        UsageError: with ``file:line: path: what was expected, what was found``.
    """
    document = read(file)
    if not isinstance(document.data, dict):
        raise UsageError(
            f"{file}: expected a mapping of keys", hint=f"keys: {', '.join(_names(Suite))}"
        )
    version = document.data.get("version", SUITE_VERSION)
    if version != SUITE_VERSION:
        raise UsageError(
            f"{document.where('version')}: this bench reads suites of version {SUITE_VERSION}, "
            f"not {version!r}",
            hint="install a bench that knows that version",
        )
    return structure(document), document


def structure(document: Document) -> Suite:
    """A suite from parsed data."""
    try:
        return _converter().structure(document.data, Suite)
    except cattrs.BaseValidationError as error:
        path, message = _first(error)
        hint = _hint(path, message)
        # What a class says of one of its keys begins with that key.
        key, _, rest = message.partition(": ")
        if rest and f"{path}.{key}" in document.lines:
            path, message = f"{path}.{key}", rest
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


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind, name in ((int, "int"), (str, "text"), (bool, "true or false")):
        converter.register_structure_hook(kind, _exact(kind, name))
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(int | str, _workers)
    converter.register_structure_hook(PluginRef, _chosen)
    converter.register_structure_hook(PluginRef | SkuRef, _hardware)
    converter.register_structure_hook_func(
        lambda kind: getattr(kind, "__origin__", kind) is FrozenMap, _mapping
    )
    converter.register_structure_hook(RepeatsRequest, _repeats)
    for cls in _CLASSES:
        converter.register_structure_hook(
            cls, make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True)
        )
    return converter


def _exact(kind: type[Any], name: str) -> Callable[[Any, Any], Any]:
    def structure_it(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"expected {name}, got {_shown(value)}")
        return value

    return structure_it


def _number(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"expected a number, got {_shown(value)}")
    return float(value)


def _repeats(value: Any, _: Any) -> RepeatsRequest:
    """``3``, or a mapping of the keys of :class:`RepeatsRequest`."""
    if type(value) is int:
        try:
            return RepeatsRequest(at_least=value, at_most=value)
        except ValueError as error:
            raise ValueError(str(error).partition(": ")[2]) from None
    if not isinstance(value, dict):
        raise ValueError(f"expected int or a mapping, got {_shown(value)}")
    keys = dict(value)
    if unknown := [key for key in keys if key not in _names(RepeatsRequest)]:
        raise ValueError(f"unknown key {unknown[0]!r}; keys: {', '.join(_names(RepeatsRequest))}")
    for key in ("at_least", "at_most"):
        if key in keys and type(keys[key]) is not int:
            raise ValueError(f"{key}: expected int, got {_shown(keys[key])}")
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
        raise ValueError(f"precision: expected a share such as 5%, got {_shown(value)}") from None


def _workers(value: Any, _: Any) -> int | str:
    if type(value) not in (int, str):
        raise ValueError(f"expected auto or a number, got {_shown(value)}")
    found: int | str = value
    return found


def _mapping(value: Any, _: Any) -> FrozenMap[Any]:
    if not isinstance(value, dict):
        raise ValueError(f"expected a mapping, got {_shown(value)}")
    return FrozenMap({str(key): tuple(v) if isinstance(v, list) else v for key, v in value.items()})


def _chosen(value: Any, _: Any) -> PluginRef:
    """``name``, ``name:key=value`` or ``{name: {key: value}}``."""
    if isinstance(value, str):
        try:
            return parse_plugin_ref(value, where="here")
        except UsageError as error:
            raise ValueError(error.message.removeprefix("here: ")) from None
    if isinstance(value, dict) and len(value) == 1:
        ((name, options),) = value.items()
        if isinstance(options, dict) or options is None:
            return PluginRef.of(str(name), _mapping(options or {}, None))
    raise ValueError(f"expected NAME or NAME: {{key: value}}, got {_shown(value)}")


def _hardware(value: Any, kind: Any) -> PluginRef | SkuRef:
    """``sku:8``, or a plugin like :func:`_chosen`."""
    if not isinstance(value, str):
        return _chosen(value, kind)
    try:
        return parse_hardware_ref(value, where="here")
    except UsageError as error:
        raise ValueError(error.message.removeprefix("here: ")) from None


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _first(error: cattrs.BaseValidationError) -> tuple[str, str]:
    """Path and message of the first error found."""
    text = cattrs.transform_error(error, path="", format_exception=_format)[0]
    message, _, path = text.rpartition(" @ ")
    path = path.removeprefix("$").removeprefix(".")
    extra = re.match(r"unknown key (\S+)", message)
    if extra:
        path = f"{path}.{extra[1]}" if path else extra[1]
    missing = re.match(r"required field missing: (\S+)", message)
    if missing:
        message = f"the key {missing[1]!r} is missing"
    return path, message


def _format(error: BaseException, kind: type[Any] | None) -> str:
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        return f"unknown key {min(error.extra_fields)}"
    if isinstance(error, KeyError):
        return f"the key {error.args[0]!r} is missing"
    if isinstance(error, ValueError | cattrs.StructureHandlerNotFoundError) and error.args:
        return str(error.args[0])
    if isinstance(error, OverflowError):
        return "the number is too large"
    if isinstance(error, TypeError):
        return "expected a list" if "iterable" in str(error) else str(error)
    return f"{type(error).__name__}: {error}"


def _hint(path: str, message: str) -> str:
    if not message.startswith("unknown key"):
        return "change it there"
    key = re.split(r"[.\[]", path)[-1]
    parent = path[: -len(key)].rstrip(".")
    cls = _class_at(parent)
    names = _names(cls)
    close = difflib.get_close_matches(key, names, n=1)
    listed = f"keys here: {', '.join(names)}"
    return f"did you mean {close[0]!r}? ({listed})" if close else listed


def _names(cls: Any) -> list[str]:
    return [field.name for field in attrs.fields(cls)]


def _class_at(path: str) -> Any:
    last = re.sub(r"\[\d+\]", "", path).split(".")[-1]
    return {
        "deployments": DeploymentRequest,
        "load": LoadRequest,
        "find": FindRequest,
        "topology": Topology,
        "pools": Pool,
    }.get(last, Suite)
