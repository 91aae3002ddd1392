"""Registers the engine `dynamo`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import (
    DECODE,
    PREFILL,
    SERVER,
    Engine,
    EngineCapabilities,
    EngineSpec,
    PluginContext,
    hookimpl,
)

from .options import DynamoOptions

CAPABILITIES = EngineCapabilities(
    weight_formats=("hf",),
    axes=("tp", "pp", "dp", "ep", "attention_dp", "dcp", "pcp"),
    roles=(SERVER, PREFILL, DECODE),
    hardware=("nvidia", "amd", "cpu"),
    counters=True,
    prefix_caching_off=True,
    wide_ep=True,
)


def _make(options: DynamoOptions, context: PluginContext) -> Engine:
    from .engine import Dynamo

    return Dynamo(options, context)


@hookimpl
def bench_register_engines() -> Sequence[EngineSpec]:
    """The engine."""
    return [
        EngineSpec(
            name="dynamo",
            summary="NVIDIA Dynamo: its frontend and router before workers of other engines",
            options=DynamoOptions,
            factory=_make,
            capabilities=CAPABILITIES,
        )
    ]
