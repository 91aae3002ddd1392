"""Registers the engine `atom`."""

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

from .options import SPECULATION, AtomOptions

# ROCm/ATOM at the tag v0.1.5 of 2026-06-22, read 2026-12-01. main of 2026-08-22 has pipeline
# parallelism, KV offload, a metrics page and more parsers of tool calls.
_LACKS = {
    "pp": "it has no flag for that (0.1.5, model_engine/arg_utils.py)",
    "dcp": "it has no flag for that (0.1.5, model_engine/arg_utils.py)",
    "pcp": "it has no flag for that (0.1.5, model_engine/arg_utils.py)",
    "wide_ep": "a server starts all of its ranks on its own host (0.1.5, "
    "model_engine/engine_core_mgr.py)",
    "prefill": "its proxy for prefill and decode does not report when it is ready (0.1.5, "
    "kv_transfer/disaggregation/proxy.py), so this is not planned",
    "decode": "its proxy for prefill and decode does not report when it is ready (0.1.5, "
    "kv_transfer/disaggregation/proxy.py), so this is not planned",
    "ngram": "--method takes mtp and eagle3 only (0.1.5, model_engine/arg_utils.py)",
    "draft": "--method takes mtp and eagle3 only (0.1.5, model_engine/arg_utils.py)",
    "eagle": "--method takes mtp and eagle3 only (0.1.5, model_engine/arg_utils.py)",
    "kv_offload": "0.1.5 has no kv_transfer/offload",
    "tool_calls": "it finds those of Kimi-K2's format only (0.1.5, "
    "entrypoints/openai/tool_parser.py)",
    "nvfp4": "it computes in FP8, MXFP4, INT8 and INT4 (0.1.5, README)",
    "counters": "its server has no metrics page (0.1.5, entrypoints/openai/api_server.py)",
    "reset_cache": "its server has no request that empties the cache (0.1.5, "
    "entrypoints/openai/api_server.py)",
}


CAPABILITIES = EngineCapabilities(
    weight_formats=("hf",),
    axes=("tp", "dp", "ep", "attention_dp"),
    hardware=("amd",),
    needs_accelerators=True,
    precisions=("bf16", "fp8", "mxfp4", "int8", "int4"),
    speculation=SPECULATION[1:],
    prefix_caching_off=True,
    lacks=FrozenMap(_LACKS),
)


def _make(options: AtomOptions, context: PluginContext) -> Engine:
    from .engine import Atom

    return Atom(options)


@hookimpl
def bench_register_engines() -> Sequence[EngineSpec]:
    """The engine."""
    return [
        EngineSpec(
            name="atom",
            summary="AMD's ATOM on AMD GPUs",
            options=AtomOptions,
            factory=_make,
            capabilities=CAPABILITIES,
        )
    ]
