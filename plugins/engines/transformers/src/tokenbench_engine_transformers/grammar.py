"""How ``transformers serve`` writes its flags, read from its own parser
(tools/capture_transformers_flags.py).
"""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import Any

from tokenbench.api import FlagGrammar


@functools.cache
def captured() -> dict[str, Any]:
    """What the parser accepts; the tool that writes the file describes its keys."""
    text = files(__package__).joinpath("flags.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


@functools.cache
def grammar() -> FlagGrammar:
    """Negative forms; no option has another name."""
    return FlagGrammar.of(captured()["flags"])
