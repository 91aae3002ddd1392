"""How SGLang and its router write their flags, read from their own parsers
(tools/capture_sglang_flags.py).
"""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import Any

from tokenbench.api import FlagGrammar


@functools.cache
def captured(program: str = "server") -> dict[str, Any]:
    """What a parser accepts; the tool that writes the file describes its keys."""
    name = {"server": "flags.json", "router": "router.json"}[program]
    found: dict[str, Any] = json.loads(
        files(__package__).joinpath(name).read_text(encoding="utf-8")
    )
    return found


@functools.cache
def grammar(program: str = "server") -> FlagGrammar:
    """Other names and negative forms."""
    return FlagGrammar.of(captured(program)["flags"])
