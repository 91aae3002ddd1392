"""``NAME:key=value,key=value``: a plugin with options, as typed on a command line."""

from __future__ import annotations

import re
from typing import Any

from tokenbench.api import FrozenMap, UsageError

from .schema import PluginRef, SkuRef

_DIGITS = 20
"""More digits than any count has; int() refuses thousands."""


def parse_plugin_ref(text: str, *, where: str) -> PluginRef:
    """Parse ``NAME[:key=value,...]``.

    A value with a comma must be in single or double quotes, unless it is a JSON object.

    Args:
        where: what the text was given for (``--workload``), for errors.

    Raises:
        UsageError: it is not of that form.
    """
    name, colon, rest = text.partition(":")
    if not name:
        raise UsageError(f"{where}: no name in {text!r}", hint="write NAME or NAME:key=value")
    options: dict[str, Any] = {}
    for part in _split(rest, where) if colon else ():
        key, equals, value = part.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UsageError(
                f"{where}: expected key=value after {name!r}, got {part!r}",
                hint=f"write {where} {name}:key=value,key=value",
            )
        if key in options:
            raise UsageError(f"{where}: {key!r} is given twice", hint="give it once")
        options[key] = _unquote(value.strip())
    return PluginRef.of(name, FrozenMap(options))


def parse_hardware_ref(text: str, *, where: str) -> PluginRef | SkuRef:
    """Parse ``SKU:COUNT``, or a plugin like :func:`parse_plugin_ref`.

    Raises:
        UsageError: it is neither.
    """
    key, _, count = text.partition(":")
    hint = "write SKU:COUNT such as h200:8, or NAME:key=value,key=value"
    if not key or not re.fullmatch(r"[+-]?\d+", count.strip(), re.ASCII):
        try:
            return parse_plugin_ref(text, where=where)
        except UsageError as error:
            raise UsageError(error.message, hint=hint) from None
    try:
        return SkuRef.of(key, int(count[:_DIGITS]))
    except ValueError as error:
        raise UsageError(f"{where}: {error}, got {count[:_DIGITS]}", hint=hint) from None


def _split(text: str, where: str) -> list[str]:
    parts, current, quote, depth = [], "", "", 0
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "{" and (depth or current.endswith("=")):
            depth += 1
        elif character == "}" and depth:
            depth -= 1
        elif character == "," and not depth:
            parts.append(current)
            current = ""
            continue
        current += character
    if quote:
        raise UsageError(f"{where}: a quote is not closed in {text!r}", hint="close the quote")
    return [*parts, current]


def _unquote(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value
