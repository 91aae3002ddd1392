"""Registers the engine `trtllm`."""

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

from .options import CONNECTORS, SPECULATION, TrtllmOptions

# NVIDIA/TensorRT-LLM, main of autumn 2026, read 2026-12-01: commands/serve.py, llmapi/llm_args.py,
# serve/openai_server.py.
_SOURCE = "(1.3.0, {}, read 2026-12-01)"
_LACKS = {
    "dp": "one server is one model instance; several ranks behind it are attention DP "
    + _SOURCE.format("llm_args.py"),
    "reset_cache": "the server has no request that empties its cache "
    + _SOURCE.format("openai_server.py"),
}


CAPABILITIES = EngineCapabilities(
    weight_formats=("hf",),
    roles=(SERVER, PREFILL, DECODE),
    axes=("tp", "pp", "ep", "attention_dp"),
    hardware=("nvidia",),
    needs_accelerators=True,
    counters=True,
    # modelopt's and DeepSeek's block fp8, and gpt-oss (InferenceX's scripts).
    precisions=("bf16", "fp16", "fp8", "nvfp4", "mxfp4"),
    speculation=SPECULATION[1:],
    kv_transfer=CONNECTORS[1:],
    kv_offload=("native",),
    prefix_caching_off=True,
    tool_calls=True,
    wide_ep=True,
    lacks=FrozenMap(_LACKS),
)


def _make(options: TrtllmOptions, context: PluginContext) -> Engine:
    from .engine import Trtllm

    return Trtllm(options)


@hookimpl
def bench_register_engines() -> Sequence[EngineSpec]:
    """The engine."""
    return [
        EngineSpec(
            name="trtllm",
            summary="TensorRT-LLM's server on NVIDIA GPUs",
            options=TrtllmOptions,
            factory=_make,
            capabilities=CAPABILITIES,
        )
    ]
