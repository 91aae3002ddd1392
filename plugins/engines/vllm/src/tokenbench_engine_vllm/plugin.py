"""Registers the engine `vllm`."""

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

from .options import CONNECTORS, OFFLOAD, SPECULATION, VllmOptions


def _make(options: VllmOptions, context: PluginContext) -> Engine:
    from .engine import Vllm

    return Vllm(options)


@hookimpl
def bench_register_engines() -> Sequence[EngineSpec]:
    """The engine."""
    return [
        EngineSpec(
            name="vllm",
            summary="vLLM's server on NVIDIA and AMD GPUs and CPUs; unproven on TPUs and Trainium",
            options=VllmOptions,
            factory=_make,
            capabilities=EngineCapabilities(
                weight_formats=("hf",),
                roles=(SERVER, PREFILL, DECODE),
                axes=("tp", "pp", "dp", "ep", "attention_dp", "dcp", "pcp"),
                # Unproven on the last two: see chips.py.
                hardware=("nvidia", "amd", "cpu", "tpu", "trainium"),
                counters=True,
                precisions=("bf16", "fp16", "fp8", "mxfp8", "mxfp4", "nvfp4", "int4"),
                speculation=SPECULATION[1:],
                kv_transfer=CONNECTORS,
                # The last by `--use mooncake`, which adds the store's processes.
                kv_offload=(*OFFLOAD[1:], "mooncake-store"),
                prefix_caching_off=True,
                tool_calls=True,
                wide_ep=True,
                reset_cache=True,
            ),
        )
    ]
