"""How llm-d's programs write their flags, by their source (tools/capture_llmd_flags.py)."""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import Any

from tokenbench.api import FlagGrammar, FrozenMap

EPP, SIDECAR = "epp", "pd-sidecar"


@functools.cache
def captured() -> dict[str, Any]:
    """What the programs accept; the tool that writes the file describes its keys."""
    text = files(__package__).joinpath("flags.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


@functools.cache
def grammar(program: str) -> FlagGrammar:
    """A switch is turned off by ``--flag=false``: Go's flags take no ``--no-flag``."""
    switches = [name for name, kind in captured()[program].items() if kind == "bool"]
    return FlagGrammar(negations=FrozenMap({f"{name}=false": name for name in switches}))
