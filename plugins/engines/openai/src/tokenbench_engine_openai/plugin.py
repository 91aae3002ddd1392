"""Registers the engine `openai`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import (
    Engine,
    EngineCapabilities,
    EngineSpec,
    PluginContext,
    hookimpl,
)

from .options import OpenAIOptions

CAPABILITIES = EngineCapabilities(
    starts_server=False,
    counters=True,
    reset_cache=True,
    axes=("tp", "pp", "ep", "dp", "attention_dp", "dcp", "pcp"),
)


def _make(options: OpenAIOptions, context: PluginContext) -> Engine:
    from .engine import OpenAIServer

    return OpenAIServer(options)


@hookimpl
def bench_register_engines() -> Sequence[EngineSpec]:
    """The engine."""
    return [
        EngineSpec(
            name="openai",
            summary="a running server with the OpenAI protocol",
            options=OpenAIOptions,
            factory=_make,
            capabilities=CAPABILITIES,
        )
    ]
