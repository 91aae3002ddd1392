"""Writes what ``transformers serve`` accepts on its command line, as JSON on standard output.

Run it with an interpreter that has transformers with its extra ``serving`` (about 10 s; no model,
no network)::

    .venv-transformers/bin/python tools/capture_transformers_flags.py > FILE

The engine plugin knows from such a file, its ``flags.json``, how the command writes its flags; its
tests check every flag that it can produce against it. Keys of ``flags``, one entry per option:
``names`` (all spellings), ``negations`` (those that switch it off), ``kind`` (``switch``,
``boolean`` with a negative form, ``value``), ``type`` (``int``, ``float``, ``str``) and
``choices``. ``arguments`` are those without a name. ``attention`` and ``quantization`` are what the
server accepts where its parser takes any text.
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import inspect
import json
import re
from typing import Any

_TYPES = {"INTEGER": "int", "FLOAT": "float", "TEXT": "str", "CHOICE": "str"}


def main() -> None:
    """Write the file."""
    options = [one for one in _parameters() if one.param_type_name == "option"]
    arguments = [one.name for one in _parameters() if one.param_type_name == "argument"]
    found = {
        "origin": "the parser of `transformers serve`, dumped by "
        "tools/capture_transformers_flags.py",
        "version": importlib.metadata.version("transformers"),
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "arguments": arguments,
        **_values(),
    }
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in found.items()]
    flags = ",\n".join("  " + json.dumps(_entry(option)) for option in options)
    lines.append(f' "flags": [\n{flags}\n ]')
    print("{\n" + ",\n".join(lines) + "\n}")


def _parameters() -> list[Any]:
    from transformers.cli.transformers import app

    return list(app.commands["serve"].params)


def _entry(option: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {"names": list(option.opts)}
    if option.is_flag:
        entry["kind"] = "boolean" if option.secondary_opts else "switch"
        if option.secondary_opts:
            entry["negations"] = list(option.secondary_opts)
        return entry
    entry |= {"kind": "value", "type": _TYPES[option.type.name.upper().partition(" ")[0]]}
    choices = getattr(option.type, "choices", None)
    if choices:
        entry["choices"] = [str(getattr(choice, "value", choice)) for choice in choices]
    return entry


def _values() -> dict[str, list[str]]:
    """Read from the source of the function that checks them: they are local to it."""
    from transformers.cli.serving.model_manager import ModelManager

    # Not public, and nothing public lists them.
    source = inspect.getsource(ModelManager._validate_args)  # noqa: SLF001
    attention = re.search(r"VALID_ATTN_IMPLEMENTATIONS = \{(.+?)\}", source)
    quantization = re.search(r"self\.quantization not in \((.+?)\)", source)
    assert attention is not None and quantization is not None, "the check was rewritten"
    return {
        "attention": sorted(re.findall(r'"(.+?)"', attention[1])),
        "quantization": sorted(re.findall(r'"(.+?)"', quantization[1])),
    }


if __name__ == "__main__":
    main()
