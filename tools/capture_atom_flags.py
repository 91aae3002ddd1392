"""Writes what ATOM's server accepts on its command line, as JSON on standard output.

ATOM needs an AMD GPU to be imported, so its calls of ``add_argument`` are read from its source, and
argparse makes an option of each::

    python tools/capture_atom_flags.py CHECKOUT VERSION > FILE

`CHECKOUT` is a folder with ROCm/ATOM at the tag that VERSION names. The keys are those of
tools/capture_vllm_flags.py; ``environment`` has the variables that its documentation lists. FILE is
the engine plugin's ``flags.json``.
"""

from __future__ import annotations

import argparse
import ast
import datetime as dt
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SOURCES = ("atom/model_engine/arg_utils.py", "atom/entrypoints/openai/api_server.py")
_DOCUMENT = "docs/environment_variables.md"
_TYPES = {"int": int, "str": str, "float": float, "json.loads": json.loads}


def main(checkout: Path, version: str) -> None:
    """Write the file."""
    flags = [
        entry(call)
        for source in _SOURCES
        for call in _calls((checkout / source).read_text(encoding="utf-8"))
    ]
    variables = re.findall(r"^\| \*\*(\w+)\*\*", (checkout / _DOCUMENT).read_text(), re.MULTILINE)
    found = {
        "origin": f"ROCm/ATOM, {' and '.join(_SOURCES)}, read by tools/capture_atom_flags.py",
        "version": version,
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "environment": sorted(set(variables)),
    }
    lines = ",\n".join("  " + json.dumps(flag) for flag in flags)
    head = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in found.items())
    print("{\n" + head + ',\n "flags": [\n' + lines + "\n ]\n}")


def _calls(source: str) -> Iterator[ast.Call]:
    """Calls of ``add_argument`` in their order."""
    found = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "add_argument"
    ]
    yield from sorted(found, key=lambda call: call.lineno)


def entry(call: ast.Call) -> dict[str, Any]:
    """One option. argparse itself says what an action's other names are."""
    given = {word.arg: word.value for word in call.keywords}
    keywords: dict[str, Any] = {}
    if "action" in given:
        named = ast.unparse(given["action"])
        boolean = named == "argparse.BooleanOptionalAction"
        keywords["action"] = argparse.BooleanOptionalAction if boolean else ast.literal_eval(named)
    if "type" in given:
        keywords["type"] = _TYPES[ast.unparse(given["type"])]
    for key in ("choices", "nargs", "const"):
        if key in given:
            keywords[key] = ast.literal_eval(given[key])
    names = [ast.literal_eval(arg) for arg in call.args]
    action = argparse.ArgumentParser().add_argument(*names, **keywords)
    boolean = isinstance(action, argparse.BooleanOptionalAction)
    negations = [name for name in action.option_strings if boolean and name.startswith("--no-")]
    found: dict[str, Any] = {
        "names": [name for name in action.option_strings if name not in negations],
        "kind": "boolean" if boolean else "switch" if action.nargs == 0 else "value",
    }
    if negations:
        found["negations"] = negations
    if found["kind"] == "value":
        kind = ast.unparse(given["type"]) if "type" in given else "str"
        found["type"] = {"json.loads": "json"}.get(kind, kind)
    if action.choices is not None:
        found["choices"] = list(action.choices)
    return found


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} CHECKOUT VERSION")
    main(Path(sys.argv[1]), sys.argv[2])
