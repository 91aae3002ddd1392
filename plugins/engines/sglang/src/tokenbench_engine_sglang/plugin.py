"""Registers the engine `sglang`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import (
    DECODE,
    PREFILL,
    SERVER,
    Engine,
    EngineCapabilities,
    EngineSpec,
    FrozenMap,
    PluginContext,
    hookimpl,
)

from .options import OFFLOAD, SPECULATION, TRANSFER, SglangOptions

# SGLANG_HEALTH_CHECK_TIMEOUT (0.5.23, entrypoints/http_server.py): after 20 s a server that does
# not generate answers 503 by itself.
_HEALTH_S = 25.0


CAPABILITIES = EngineCapabilities(
    weight_formats=("hf",),
    roles=(SERVER, PREFILL, DECODE),
    axes=("tp", "pp", "dp", "ep", "attention_dp", "dcp"),
    hardware=("nvidia", "amd", "cpu"),
    counters=True,
    reset_cache=True,
    control_timeout_s=_HEALTH_S,
    # --quantization of 0.5.23; what a checkpoint's configuration names, it reads.
    precisions=("bf16", "fp16", "fp8", "mxfp8", "mxfp4", "nvfp4", "int8", "int4"),
    speculation=SPECULATION[1:],
    kv_transfer=TRANSFER,
    kv_offload=OFFLOAD[1:],
    prefix_caching_off=True,
    tool_calls=True,
    wide_ep=True,
    lacks=FrozenMap(
        {
            "pcp": "SGLang's prefill context parallelism (--enable-prefill-cp) divides "
            "the tp ranks and needs a strategy for each model; it is not planned "
            "(0.5.23, arg_groups/parallel_hook.py, 2026-12-01)"
        }
    ),
)


def _make(options: SglangOptions, context: PluginContext) -> Engine:
    from .engine import Sglang

    return Sglang(options)


@hookimpl
def bench_register_engines() -> Sequence[EngineSpec]:
    """The engine."""
    return [
        EngineSpec(
            name="sglang",
            summary="SGLang's server on NVIDIA and AMD GPUs and CPUs",
            options=SglangOptions,
            factory=_make,
            capabilities=CAPABILITIES,
        )
    ]
