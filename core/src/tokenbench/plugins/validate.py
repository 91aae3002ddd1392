"""What a loader can tell of a plugin's module and specs without running anything of it."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import attrs

from .kinds import Kind

_MARK = "tokenbench_impl"


def stray_hooks(module: ModuleType) -> tuple[str, ...]:
    """Functions of the module named like hooks that are not marked as such: pluggy, which looks
    for marks only, would pass over them in silence.
    """
    return tuple(
        name
        for name, value in vars(module).items()
        if name.startswith("bench_") and callable(value) and not hasattr(value, _MARK)
    )


def spec_called(name: str, specs: Any, kind: Kind) -> Any:
    """The spec of that name among what a registration hook returned.

    Raises:
        ValueError: with a message and a hint, where something is wrong with them.
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
    found = [spec for spec in specs if spec.name == name]
    if len(found) != 1:
        raise ValueError(
            f"{kind.hook} returned {len(found) or 'no'} specs called {name!r}",
            "the entry point's name and one spec's name must be the same",
        )
    _check_options(found[0])
    return found[0]


def _check_options(spec: Any) -> None:
    if not isinstance(spec.summary, str):
        raise ValueError(f"the summary of {spec.name!r} is no text", "say in one line what it is")
    if not hasattr(spec, "options"):
        return
    options = spec.options
    if not (isinstance(options, type) and attrs.has(options)):
        raise ValueError(
            f"the options of {spec.name!r} are no options class", "decorate the class with @options"
        )
    try:
        typing.get_type_hints(options)
    except Exception as error:
        raise ValueError(
            f"the options of {spec.name!r} have a type that cannot be found: {error}",
            "import what annotations name at the top of the module",
        ) from None
    for field in attrs.fields(options):
        if not field.metadata.get("help"):
            raise ValueError(
                f"the option {field.name!r} of {spec.name!r} has no help",
                "decorate its class with @options and make it with option(help=...)",
            )
