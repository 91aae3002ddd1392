"""Values as error messages show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LONGEST = 60


def shown(value: Any) -> str:
    """A scalar as YAML writes it, shortened; a container by its kind."""
    if value is None or isinstance(value, bool | Mapping | list | tuple):
        return kind_of(value)
    text = str(value)
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
    return f'"{text}"' if isinstance(value, str) else text


def kind_of(value: Any) -> str:
    """What a value is, in the words of YAML: ``a list``, ``a string``, ``null``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    for kind, name in _KINDS:
        if isinstance(value, kind):
            return name
    return f"a {type(value).__name__}"


_KINDS: tuple[tuple[Any, str], ...] = (
    (Mapping, "a mapping"),
    (list | tuple, "a list"),
    (str, "a string"),
    (int | float, "a number"),
)
