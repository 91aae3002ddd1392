"""How Dynamo's frontend writes its flags, read from its own parser
(tools/capture_dynamo_flags.py).
"""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import Any

from tokenbench.api import FlagGrammar, FrozenMap


@functools.cache
def captured() -> dict[str, Any]:
    """What the frontend's parser accepts; the tool that writes the file describes its keys."""
    text = files(__package__).joinpath("frontend.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


@functools.cache
def frontend_grammar() -> FlagGrammar:
    """Other names and negative forms."""
    return FlagGrammar.of(captured()["flags"])


def mocker_grammar() -> FlagGrammar:
    """It has a switch for each of both."""
    return FlagGrammar(
        negations=FrozenMap(
            {
                "--no-enable-prefix-caching": "--enable-prefix-caching",
                "--no-enable-chunked-prefill": "--enable-chunked-prefill",
            }
        )
    )
