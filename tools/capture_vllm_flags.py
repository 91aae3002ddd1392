"""Writes what an installed vLLM accepts on its command line, as JSON on standard output.

Run it with vLLM's own interpreter, which builds the parser of ``vllm serve`` (about 15 s; no model,
no network)::

    .venv-vllm/bin/python tools/capture_vllm_flags.py > FILE

The engine plugin knows from such a file, its ``flags.json``, how vLLM writes its flags; its tests
check every flag that it can produce against it. Keys:

``flags``
    One entry per option: ``names`` (all spellings), ``negations`` (those that switch it off),
    ``kind`` (``switch``, ``boolean`` with a negative form, ``value``, ``values``, ``repeated``),
    ``type`` (``int``, ``float``, ``str``, or ``json`` for a JSON object), ``choices``, and
    ``fields`` of an object whose keys vLLM names.
``values``
    What vLLM's registries accept where its parser takes any text.
``environment``
    The names of the environment variables that vLLM reads.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime as dt
import importlib.metadata
import json
import sys
from typing import Any


def main() -> None:
    """Write the file."""
    # vLLM logs to standard output while it is imported.
    with contextlib.redirect_stdout(sys.stderr):
        found = {
            "origin": "the parser of `vllm serve`, dumped by tools/capture_vllm_flags.py",
            "version": importlib.metadata.version("vllm"),
            "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
            "flags": [flag_entry(action) for action in _actions() if action.option_strings],
            "values": _values(),
            "environment": _environment(),
        }
    print(json_lines(found))


def json_lines(found: dict[str, Any]) -> str:
    """JSON with one line for each flag, so that two versions can be compared."""
    lines = []
    for key, value in found.items():
        if key == "flags":
            flags = ",\n".join("  " + json.dumps(flag) for flag in value)
            lines.append(f' "flags": [\n{flags}\n ]')
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}"


def _actions() -> list[argparse.Action]:
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = make_arg_parser(FlexibleArgumentParser())
    # argparse has no public way to list the arguments of a parser.
    actions: list[argparse.Action] = parser._actions  # noqa: SLF001
    return actions


def flag_entry(action: argparse.Action) -> dict[str, Any]:
    """One option of a parser, as the module describes it."""
    boolean = isinstance(action, argparse.BooleanOptionalAction)
    negations = [name for name in action.option_strings if boolean and name.startswith("--no-")]
    entry: dict[str, Any] = {
        "names": [name for name in action.option_strings if name not in negations],
        "kind": _kind(action),
    }
    if negations:
        entry["negations"] = negations
    if (kind := _type(action)) is not None:
        entry["type"] = kind
    if action.choices is not None:
        entry["choices"] = [choice for choice in action.choices if choice is not None]
    if kind == "json" and (fields := _fields(action.dest)) is not None:
        entry["fields"] = fields
    return entry


def _kind(action: argparse.Action) -> str:
    if isinstance(action, argparse.BooleanOptionalAction):
        return "boolean"
    if action.nargs == 0:
        return "switch"
    if action.nargs in ("+", "*"):
        return "values"
    return "repeated" if type(action).__name__ == "_AppendAction" else "value"


def _type(action: argparse.Action) -> str | None:
    """By what its converter makes of texts: vLLM wraps most converters in functions of its own."""
    convert = action.type
    if action.nargs == 0:
        return None
    if not callable(convert):
        return "str"
    with contextlib.suppress(Exception):
        takes_object = not isinstance(convert("{}"), str | list)
        if takes_object and not isinstance(action.default, str | list):
            return "json"
    for text, name in (("0.5", "float"), ("1", "int")):
        with contextlib.suppress(Exception):
            if not isinstance(convert(text), str):
                return name
    return "str"


def _fields(dest: str) -> list[str] | None:
    """The keys of a JSON object, if a class of vllm.config has the option's name."""
    try:
        import vllm.config
    except ImportError:  # Of another engine, whose tool uses this function.
        return None

    name = "".join(part.capitalize() for part in dest.split("_"))
    cls = getattr(vllm.config, name.replace("Kv", "KV").replace("Ec", "EC"), None)
    if cls is None or not dataclasses.is_dataclass(cls):
        return None
    return sorted(field.name for field in dataclasses.fields(cls) if field.init)


def _values() -> dict[str, list[str]]:
    from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS
    from vllm.reasoning import ReasoningParserManager
    from vllm.tool_parsers import ToolParserManager

    return {
        "--quantization": sorted(QUANTIZATION_METHODS),
        "--reasoning-parser": sorted(ReasoningParserManager.list_registered()),
        "--tool-call-parser": sorted(ToolParserManager.list_registered()),
    }


def _environment() -> list[str]:
    import vllm.envs

    return sorted(vllm.envs.environment_variables)


if __name__ == "__main__":
    main()
