"""How Dynamo's programs write their flags: the frontend as its own parser says
(tools/capture_dynamo_flags.py).
"""

from __future__ import annotations

from tokenbench.api import FlagGrammar, FrozenMap

PACKAGE, FRONTEND_FLAGS = "tokenbench_engine_dynamo", "frontend.json"
# The mocker has a separate switch for each.
MOCKER_GRAMMAR = FlagGrammar(
    negations=FrozenMap(
        {
            "--no-enable-prefix-caching": "--enable-prefix-caching",
            "--no-enable-chunked-prefill": "--enable-chunked-prefill",
        }
    )
)


def frontend_grammar() -> FlagGrammar:
    """Other names and negative forms."""
    return FlagGrammar.of_package(PACKAGE, FRONTEND_FLAGS)
