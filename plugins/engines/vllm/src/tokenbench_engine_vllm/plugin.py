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
    FrozenMap,
    PluginContext,
    hookimpl,
)

from .options import CONNECTORS, OFFLOAD, SPECULATION, VllmOptions

# Unproven. The plugins tpu and trainium provide their flags and variables.
_TPU, _NEURON = "tpu-inference v0.27.0", "vllm-neuron 0.2.0"
_READ = "(read 2026-12-01)"
BUILDS = FrozenMap(
    tpu=EngineCapabilities(
        axes=("tp", "pp", "dp", "ep", "attention_dp", "dcp", "pcp"),
        speculation=("ngram", "eagle3"),
        lacks=FrozenMap(
            {
                PREFILL: f"{_TPU} names nothing that carries KV cache to decode {_READ}",
                DECODE: f"{_TPU} names nothing that carries KV cache from prefill {_READ}",
                "speculation": f"{_TPU} names ngram and eagle3 {_READ}",
            }
        ),
    ),
    trainium=EngineCapabilities(
        axes=("tp", "ep"),
        speculation=("eagle",),
        lacks=FrozenMap(
            {
                PREFILL: f"{_NEURON} names nothing that carries KV cache to decode {_READ}",
                DECODE: f"{_NEURON} names nothing that carries KV cache from prefill {_READ}",
                "speculation": f"{_NEURON} names eagle {_READ}",
                **dict.fromkeys(
                    ("pp", "dp", "attention_dp", "dcp", "pcp"),
                    f"{_NEURON} divides a model by tensors only {_READ}",
                ),
            }
        ),
    ),
)

CAPABILITIES = EngineCapabilities(
    weight_formats=("hf",),
    roles=(SERVER, PREFILL, DECODE),
    axes=("tp", "pp", "dp", "ep", "attention_dp", "dcp", "pcp"),
    # The last two need builds that are plugins of vLLM; they are unproven.
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
    builds=BUILDS,
)


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
            capabilities=CAPABILITIES,
        )
    ]
