"""The page of a plugin, in Markdown, generated from its spec."""

from __future__ import annotations

import types
import typing
from typing import Any

import attrs

from tokenbench.api import ModelSpec, kv_bytes_per_token, weight_bytes

from .capabilities import capabilities_of
from .discovery import Candidate


def page(candidate: Candidate, spec: Any) -> str:
    """Name, summary, how to name it in a suite and on the command line, options, capabilities."""
    lines = [f"# {candidate.kind} `{candidate.name}`", ""]
    if not attrs.has(type(spec)):
        lines += [(spec.__doc__ or "").strip(), "", _from(candidate)]
        made = getattr(spec, "bench_use_options", None)
        if made is not None:
            lines += ["", "## Options", "", *_options(candidate, made(), use=True)]
        return "\n".join(lines).rstrip() + "\n"
    lines += [spec.summary[:1].upper() + spec.summary[1:] + ".", "", _from(candidate)]
    names = (spec.name, *getattr(spec, "aliases", ()))
    if others := [f"`{name}`" for name in names if name != candidate.name]:
        lines += ["", f"Other names: {', '.join(others)}."]
    if candidate.kind == "model" and spec.factory is None:
        lines += _model(spec)
    lines += _capabilities(capabilities_of(spec))
    options = getattr(spec, "options", None)
    if options is not None:
        lines += ["", "## Options", "", *_options(candidate, options)]
    return "\n".join(lines) + "\n"


def _from(candidate: Candidate) -> str:
    return f"From `{candidate.distribution}` {candidate.version}, API {candidate.api}."


def _capabilities(found: dict[str, Any]) -> list[str]:
    return ["", "## Capabilities", "", *_listed(found)] if found else []


def _listed(found: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in found.items():
        if isinstance(value, dict):
            lines += [f"{indent}* `{name}`:", *_listed(value, f"{indent}    ")]
            continue
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        shown = str(shown).lower() if isinstance(value, bool) else shown
        lines.append(f"{indent}* `{name}`: {shown}")
    return lines


def _model(spec: ModelSpec) -> list[str]:
    """Weights with their sizes, and the shape with what follows from it."""
    lines = ["", "## Weights", "", "| name | precision | source | size | license |"]
    lines.append("|---|---|---|---|---|")
    rows = [("", weights) for weights in spec.weights] + list(spec.extra_weights.items())
    for name, weights in rows:
        size = weight_bytes(weights, spec.architecture) if weights.purpose == "main" else None
        about = "" if weights.size_bytes is not None else "about "
        shown = "unknown" if size is None else f"{about}{_gigabytes(size)}"
        label = f"`{name}` ({weights.purpose})" if name else "-"
        cells = (label, weights.precision, f"`{weights.source}`", shown, weights.license or "-")
        lines.append(f"| {' | '.join(cells)} |")
    shape = spec.architecture
    facts = {
        name.replace("_", " "): f"{value:,}"
        for name, value in attrs.asdict(shape, recurse=False).items()
        if isinstance(value, int)
    }
    if (each := kv_bytes_per_token(shape)) is not None:
        facts["cache, bytes per token in bf16"] = f"{each:,.0f}"
    lines += ["", "## Shape", "", *(f"* {name}: {value}" for name, value in facts.items())]
    return lines


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.0f} GB" if size >= 1e10 else f"{size / 1e9:.2g} GB"


def _options(candidate: Candidate, options: type[Any], *, use: bool = False) -> list[str]:
    fields = attrs.fields(options)
    if not fields:
        return ["None."]
    first = next((f for f in fields if f.default is attrs.NOTHING), fields[0])
    name = candidate.name
    suite, line = ("use: [{%s}]", "--use %s") if use else ("%s", "%s")
    how = f"In a suite: `{suite % f'{name}: {{{first.name}: ...}}'}`. "
    how += f"On the command line: `{line % f'{name}:{first.name}=...,key=value'}`."
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
    if data.get("needs"):
        text += f" (needs `{data['needs']}`)"
    if data.get("flag"):
        text += f" (flag `{data['flag']}`)"
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
