"""The page of a plugin, in Markdown, generated from its spec."""

from __future__ import annotations

import types
import typing
from typing import Any

import attrs

from .capabilities import capabilities_of
from .discovery import Candidate


def page(candidate: Candidate, spec: Any) -> str:
    """Name, summary, how to name it in a suite and on the command line, options, capabilities."""
    lines = [f"# {candidate.kind} `{candidate.name}`", ""]
    if not attrs.has(type(spec)):
        text = (spec.__doc__ or "").strip()
        return "\n".join([*lines, text, "", _from(candidate)]).rstrip() + "\n"
    lines += [spec.summary[:1].upper() + spec.summary[1:] + ".", "", _from(candidate)]
    lines += _capabilities(capabilities_of(spec))
    options = getattr(spec, "options", None)
    if options is not None:
        lines += ["", "## Options", "", *_options(candidate, options)]
    return "\n".join(lines) + "\n"


def _from(candidate: Candidate) -> str:
    return f"From `{candidate.distribution}` {candidate.version}, API {candidate.api}."


def _capabilities(found: dict[str, Any]) -> list[str]:
    if not found:
        return []
    lines = ["", "## Capabilities", ""]
    for name, value in found.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value).lower()
        lines.append(f"* `{name}`: {shown}")
    return lines


def _options(candidate: Candidate, options: type[Any]) -> list[str]:
    fields = attrs.fields(options)
    if not fields:
        return ["None."]
    first = next((f for f in fields if f.default is attrs.NOTHING), fields[0])
    name = candidate.name
    how = f"In a suite: `{name}: {{{first.name}: ...}}`. "
    how += f"On the command line: `{name}:{first.name}=...,key=value`."
    lines = [
        how,
        "",
        "| option | type | default | what it does |",
        "|---|---|---|---|",
    ]
    hints = typing.get_type_hints(options)
    return [*lines, *(_row(field, hints[field.name]) for field in fields)]


def _row(field: Any, hint: Any) -> str:
    data = field.metadata
    kind = _type_name(hint) + (f", {data['unit']}" if data.get("unit") else "")
    default = "required" if field.default is attrs.NOTHING else f"`{_shown(field.default)}`"
    if data.get("secret"):
        default = "secret"
    elif isinstance(field.default, attrs.Factory):  # type: ignore[arg-type]
        default = "computed"
    text = data.get("help", "")
    if data.get("choices"):
        text += f" (one of: {', '.join(data['choices'])})"
    if data.get("minimum") is not None:
        text += f" (at least {data['minimum']:g})"
    if data.get("maximum") is not None:
        text += f" (at most {data['maximum']:g})"
    if not data.get("identity", True):
        text += " (not part of a point's identity)"
    return f"| `{field.name}` | {kind} | {default} | {text.replace('|', chr(92) + '|')} |"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value) or '""'


def _type_name(hint: Any) -> str:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_type_name(arm) for arm in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return f"list of {_type_name(typing.get_args(hint)[0])}"
    names = {int: "int", float: "number", str: "text", bool: "true or false", type(None): "none"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))
