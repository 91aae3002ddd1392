"""Static checks of a plugin's module and specs. Runs none of the plugin's code."""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import attrs

from tokenbench.api import hookspecs
from tokenbench.guard.types import mismatch

from .kinds import Kind

_MARK = "tokenbench_impl"


def unmarked_hooks(module: ModuleType) -> tuple[str, ...]:
    """Functions named like hooks but without @hookimpl. pluggy would silently ignore them."""
    return tuple(
        name
        for name, value in vars(module).items()
        if name.startswith("bench_") and callable(value) and not hasattr(value, _MARK)
    )


def hook_argument_problem(module: ModuleType) -> tuple[str, str] | None:
    """Message and hint if a hook of the module names an argument that the hook does not have."""
    for name, function in vars(module).items():
        spec = getattr(hookspecs, name, None) if hasattr(function, _MARK) else None
        if spec is None:
            continue
        known = list(inspect.signature(spec).parameters)
        for argument, parameter in inspect.signature(function).parameters.items():
            if argument in known or parameter.default is not inspect.Parameter.empty:
                continue
            close = difflib.get_close_matches(argument, known, n=1)
            listed = f"its arguments: {', '.join(known)}" if known else "it has none"
            meant = f"did you mean {close[0]!r}? ({listed})" if close else listed
            return f"{name} has no argument {argument!r}", meant
    return None


def select_spec(name: str, specs: Any, kind: Kind) -> Any:
    """The spec named `name` among those that a registration hook returned.

    Raises:
        ValueError: the specs are invalid. Its arguments are a message and a hint.
    """
    assert kind.spec is not None
    wanted = kind.spec.__name__
    if not isinstance(specs, Sequence) or isinstance(specs, str):
        raise ValueError(
            f"{kind.hook} returned a {type(specs).__name__}", f"return a list of {wanted}"
        )
    for spec in specs:
        if not isinstance(spec, kind.spec):
            raise ValueError(
                f"{kind.hook} returned a {type(spec).__name__} in its list",
                f"return a list of {wanted}",
            )
    found = [spec for spec in specs if name in (spec.name, *getattr(spec, "aliases", ()))]
    if len(found) != 1:
        raise ValueError(
            f"{kind.hook} returned {len(found) or 'no'} specs named {name!r}",
            "exactly one spec must have the entry point's name",
        )
    _check_options(found[0])
    if (problem := mismatch(found[0], kind.spec)) is not None:
        raise ValueError(
            f"the spec {name!r} is wrong: {problem}", f"compare it with {wanted} of tokenbench.api"
        )
    return found[0]


def _check_options(spec: Any) -> None:
    if not isinstance(spec.summary, str):
        raise ValueError(f"the summary of {spec.name!r} is not text", "describe it in one line")
    if not hasattr(spec, "options"):
        return
    options = spec.options
    if not (isinstance(options, type) and attrs.has(options)):
        raise ValueError(
            f"invalid options class of {spec.name!r}", "decorate the class with @options"
        )
    try:
        typing.get_type_hints(options)
    except Exception as error:
        raise ValueError(
            f"cannot resolve the types of the options of {spec.name!r}: {error}",
            "import the types of annotations at the top of the module",
        ) from None
    for field in attrs.fields(options):
        if not field.metadata.get("help"):
            raise ValueError(
                f"the option {field.name!r} of {spec.name!r} has no help",
                "decorate its class with @options and define it with option(help=...)",
            )
