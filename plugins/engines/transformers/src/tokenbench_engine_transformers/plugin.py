"""Registers the engine `transformers`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import (
    Engine,
    EngineCapabilities,
    EngineSpec,
    FrozenMap,
    PluginContext,
    hookimpl,
)

from .options import TransformersOptions

_READ = "transformers 5.23.0, cli/serve.py and cli/serving, read 2026-12-01"
_ONE_DEVICE = f"`transformers serve` has no option for it ({_READ})"
_LACKS = FrozenMap(
    {
        "tp": _ONE_DEVICE,
        "dp": _ONE_DEVICE,
        "ep": _ONE_DEVICE,
        "attention_dp": _ONE_DEVICE,
        "dcp": _ONE_DEVICE,
        "pcp": _ONE_DEVICE,
        "prefill": f"its server keeps the KV cache to itself ({_READ})",
        "decode": f"its server keeps the KV cache to itself ({_READ})",
        "counters": f"its server has no metrics page: /metrics answers 404 ({_READ})",
        "reset_cache": f"its server empties its cache only by unloading the model ({_READ})",
        "speculation": f"`transformers serve` has no option for draft models ({_READ})",
    }
)


CAPABILITIES = EngineCapabilities(
    weight_formats=("hf",),
    axes=("pp",),
    hardware=("nvidia", "amd", "cpu"),
    # quantizers/auto.py; those below 16 bits need packages or chips of their own.
    precisions=("bf16", "fp16", "fp32", "fp8", "mxfp8", "mxfp4", "nvfp4", "int4"),
    prefix_caching_off=True,
    lacks=_LACKS,
)


def _make(options: TransformersOptions, context: PluginContext) -> Engine:
    from .engine import Transformers

    return Transformers(options)


@hookimpl
def bench_register_engines() -> Sequence[EngineSpec]:
    """The engine."""
    return [
        EngineSpec(
            name="transformers",
            summary="the server of Hugging Face's transformers, on GPUs and CPUs",
            options=TransformersOptions,
            factory=_make,
            capabilities=CAPABILITIES,
        )
    ]
