"""What TensorRT-LLM takes: flags of its programs, keys of its files (surface.json)."""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import Any

from tokenbench.api import FlagGrammar


@functools.cache
def surface() -> dict[str, Any]:
    """`serve`, `disaggregated`: flags; `llm_args`, `disagg_file`: keys of files by dotted path."""
    text = files(__package__).joinpath("surface.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


@functools.cache
def grammar(program: str) -> FlagGrammar:
    """Other names and negative forms of a program's flags."""
    return FlagGrammar.of(surface()[program])
