"""Registers the engine `llmd`."""

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

from .options import LlmdOptions

_READ = "llm-d-router v0.10.0, read 2026-12-01"
_LACKS = FrozenMap(
    {
        "wide_ep": "its list of workers without Kubernetes has one address for each server, and "
        f"vLLM's servers on several hosts need one for each host ({_READ}: docs/discovery.md)",
        "mooncake": "its sidecar takes one bootstrap port for all prefill workers, and workers "
        f"on one host have one each ({_READ}: pkg/sidecar/proxy/options.go)",
        "mori": "its sidecar needs addresses that only Kubernetes gives its pods "
        f"({_READ}: pkg/sidecar/proxy/options.go)",
    }
)


CAPABILITIES = EngineCapabilities(
    weight_formats=("hf",),
    axes=("tp", "pp", "dp", "ep", "attention_dp", "dcp", "pcp"),
    roles=(SERVER, PREFILL, DECODE),
    hardware=("nvidia", "amd", "cpu"),
    counters=True,
    reset_cache=True,
    precisions=("bf16", "fp16", "fp8", "mxfp8", "mxfp4", "nvfp4", "int4"),
    speculation=("ngram", "draft", "eagle", "eagle3", "mtp"),
    kv_transfer=("nixl",),
    prefix_caching_off=True,
    tool_calls=True,
    lacks=_LACKS,
)


def _make(options: LlmdOptions, context: PluginContext) -> Engine:
    from .engine import Llmd

    return Llmd(options, context)


@hookimpl
def bench_register_engines() -> Sequence[EngineSpec]:
    """The engine."""
    return [
        EngineSpec(
            name="llmd",
            summary="llm-d without Kubernetes: its endpoint picker in front of vLLM's servers; "
            "unproven",
            options=LlmdOptions,
            factory=_make,
            capabilities=CAPABILITIES,
        )
    ]
