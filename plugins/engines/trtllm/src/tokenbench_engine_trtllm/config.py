"""The options file of one server: everything that `LlmArgs` has a field for.

The file overrides the flags, so each setting is in one place: in the file, unless it is one of the
HTTP server.
"""

from __future__ import annotations

import math
from typing import Any

from tokenbench.api import (
    DECODE,
    PREFILL,
    EngineRequest,
    FrozenMap,
    Pool,
    is_dense,
    served_context,
)

from .options import TrtllmOptions
from .parallel import hosts
from .speculation import speculative_config

FILE = "llm-args.yaml"
_GIB = 1 << 30
# TensorRT-LLM's own max_num_tokens (surface.json's version), and that of prefill workers in
# InferenceX's recipes: two prompts of 8192 tokens with their templates.
_BATCH_TOKENS, _PREFILL_TOKENS = 8192, 16640
# Tokens of a chat template, and the multiple that InferenceX rounds up to.
_TEMPLATE, _MULTIPLE = 64, 64
# InferenceX@843c625 of 2026-08-22, benchmarks/single_node/fixed_seq_len, for TensorRT-LLM
# 1.3.0rc14: dsr1_fp4_b200_trt.sh, dsr1_fp8_b200_trt.sh, dsr1_fp8_h200_trt.sh,
# deprecated/gptoss_fp4_b200_trt.sh and deprecated/gptoss_fp4_h200_trt.sh.
_MOE_BACKENDS = {
    ("Blackwell", "nvfp4"): "TRTLLM",
    ("Blackwell", "fp8"): "TRTLLM",
    ("Blackwell", "mxfp4"): "TRTLLM",
    ("Hopper", "fp8"): "CUTLASS",
    ("Hopper", "mxfp4"): "TRITON",
}
# The first of these scripts: with attention DP, whatever the batch.
_MOE_ATTENTION_DP = {("Blackwell", "nvfp4"): "CUTLASS"}


def llm_args(request: EngineRequest, pool: Pool, options: TrtllmOptions) -> FrozenMap[Any]:
    """The content of the file. `request.hardware` is that of the pool."""
    batch, tokens = batch_sizes(request, pool, options)
    content = {
        **_parallel(request, pool, options),
        "max_batch_size": batch,
        "max_num_tokens": tokens,
        "max_seq_len": served_context(request, options.context_tokens),
        "enable_chunked_prefill": options.chunked_prefill,
        "kv_cache_config": _kv_cache(request, options),
        "moe_config": _moe(request, pool, options),
        "speculative_config": speculative_config(request, options),
        **_weights(request, options),
        "stream_interval": options.stream_interval,
        "num_postprocess_workers": options.num_postprocess_workers,
        **_transfer(request, pool, options),
    }
    known = {key: value for key, value in content.items() if value is not None and value != {}}
    return FrozenMap({**known, "cuda_graph_config": _cuda_graphs(pool, options, batch)})


def batch_sizes(
    request: EngineRequest, pool: Pool, options: TrtllmOptions
) -> tuple[int, int | None]:
    """`max_batch_size` and `max_num_tokens`, which count per rank with attention DP.

    A batch has room for the largest prompt and for one step of all requests: a token and its drafts
    each (InferenceX's scripts: concurrency + input + 64, rounded up to 64; here the input is that
    of prompt and answer together). A prefill pool's requests are the prompts of one batch, a decode
    pool computes none. With attention DP a rank may get up to twice its share (as in
    dsr1_fp4_b200_trt_mtp.sh: a quarter of the concurrency on eight ranks).
    """
    step = 1 + (options.speculative_tokens or 0)
    context = served_context(request, options.context_tokens)
    prompt = None if context is None else _rounded(context + _TEMPLATE)
    concurrency = math.ceil(request.needs.concurrency / pool.replicas)
    ranks = pool.topology.attention_dp
    share = concurrency if ranks == 1 else min(concurrency, math.ceil(2 * concurrency / ranks))
    if pool.role == PREFILL:
        tokens = max(_PREFILL_TOKENS, prompt or 0)
        batch = max(1, tokens // context) if context else share
    elif pool.role == DECODE:
        batch = share
        tokens = step * (options.max_batch_size or batch)
    else:
        batch = share
        steps = step * (options.max_batch_size or batch)
        tokens = max(_BATCH_TOKENS, _rounded(steps + (prompt or 0)))
    return options.max_batch_size or batch, options.max_num_tokens or tokens


def _rounded(tokens: int) -> int:
    return math.ceil(tokens / _MULTIPLE) * _MULTIPLE


def _parallel(request: EngineRequest, pool: Pool, options: TrtllmOptions) -> dict[str, Any]:
    topology, chip = pool.topology, request.hardware.chip
    balance = options.attention_dp_balance and topology.attention_dp > 1
    return {
        "tensor_parallel_size": topology.tp,
        "pipeline_parallel_size": topology.pp if topology.pp > 1 else None,
        "moe_expert_parallel_size": None if is_dense(request.architecture) else topology.ep,
        # The default is the number of devices that rank 0 sees.
        "gpus_per_node": chip.accelerators_per_host
        if chip is not None and hosts(topology, chip) > 1
        else None,
        "enable_attention_dp": topology.attention_dp > 1,
        # Values: InferenceX@843c625, dsr1_fp8_h200_trt.sh.
        "attention_dp_config": FrozenMap(
            {"enable_balance": True, "batching_wait_iters": 0, "timeout_iters": 60}
        )
        if balance
        else None,
    }


def _kv_cache(request: EngineRequest, options: TrtllmOptions) -> FrozenMap[Any]:
    offload = options.kv_offload_gib
    found = {
        "enable_block_reuse": request.needs.prefix_caching,
        "dtype": options.kv_cache_dtype,
        "free_gpu_memory_fraction": options.free_gpu_memory_fraction,
        "tokens_per_block": options.block_size,
        "host_cache_size": None if offload is None else round(offload * _GIB),
    }
    return FrozenMap({key: value for key, value in found.items() if value is not None})


def _moe(request: EngineRequest, pool: Pool, options: TrtllmOptions) -> FrozenMap[Any] | None:
    backend = options.moe_backend
    if backend is None and not is_dense(request.architecture):
        chip, weights = request.hardware.chip, request.weights
        kind = (
            "" if chip is None else chip.architecture or "",
            "" if weights is None else weights.precision,
        )
        backend = _MOE_BACKENDS.get(kind)
        if pool.topology.attention_dp > 1:
            backend = _MOE_ATTENTION_DP.get(kind, backend)
    return None if backend is None else FrozenMap({"backend": backend.upper()})


def _weights(request: EngineRequest, options: TrtllmOptions) -> dict[str, Any]:
    revision = None if request.weights is None else request.weights.hub_revision
    return {
        "dtype": options.dtype,
        "load_format": options.load_format,
        "revision": revision,
        # The default is the tokenizer of the newest revision.
        "tokenizer_revision": revision,
        "trust_remote_code": True if options.trust_remote_code else None,
    }


def _transfer(request: EngineRequest, pool: Pool, options: TrtllmOptions) -> dict[str, Any]:
    """Of a pool for prefill or decode: how the KV cache gets from one to the other."""
    if pool.role not in (PREFILL, DECODE):
        return {}
    buffer = served_context(request, options.context_tokens)
    config = {"backend": options.kv_connector.upper(), "max_tokens_in_buffer": buffer}
    return {
        "cache_transceiver_config": FrozenMap({k: v for k, v in config.items() if v is not None}),
        # TensorRT-LLM's docs, features/disagg-serving.md (read 2026-12-01): not supported there.
        "disable_overlap_scheduler": True if pool.role == PREFILL else None,
    }


def _cuda_graphs(pool: Pool, options: TrtllmOptions, batch: int) -> FrozenMap[Any] | None:
    """Graphs are for batches that only decode."""
    if not options.cuda_graphs or pool.role == PREFILL:
        return None
    sizes = options.cuda_graph_batch_sizes
    return FrozenMap(
        {
            "enable_padding": options.cuda_graph_padding,
            **({"batch_sizes": sizes} if sizes else {"max_batch_size": batch}),
        }
    )
