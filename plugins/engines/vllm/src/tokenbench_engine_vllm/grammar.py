"""How vLLM writes its flags, read from its own parser (tools/capture_vllm_flags.py)."""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import Any

from tokenbench.api import FlagGrammar


@functools.cache
def captured() -> dict[str, Any]:
    """What vLLM's parser accepts; the tool that writes the file describes its keys."""
    text = files(__package__).joinpath("flags.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


@functools.cache
def grammar() -> FlagGrammar:
    """Other names, negative forms, JSON objects and repeated flags. vLLM takes ``_`` for ``-``."""
    flags = captured()["flags"]
    objects = (flag["names"][0] for flag in flags if flag.get("type") == "json")
    return FlagGrammar.of(flags, json=objects, underscores=True)
