"""Flags and variables of one vLLM process. Model and server flags are separate, so that an
orchestrator can wrap the worker.
"""

from __future__ import annotations

import math

from tokenbench.api import (
    EngineRequest,
    FlagValue,
    FrozenMap,
    all_local,
    drafting_weights,
    option_flags,
    parser_name,
    sequence_bytes,
    served_context,
)

from .options import VllmOptions
from .parallel import Ranks
from .speculation import speculative_config
from .transfer import transfer_config, transfer_environment

DP_PORT, MASTER_PORT = "dp", "master"
TEMPLATE = "chat-template.jinja"
CPU = "cpu"
# Block of the KV cache on CPU (vLLM 0.32, platforms/cpu.py).
_CPU_BLOCK = 128
_GIB = 1 << 30


_SERVER: dict[str, FlagValue] = {
    "--host": "{host}",
    "--port": "{port:http}",
    # A log line per request costs time and hides the other lines.
    "--disable-uvicorn-access-log": True,
}
# One process on each host, with its own data-parallel ranks, which vLLM numbers by host.
_OVER_HOSTS: dict[str, FlagValue] = {
    "--node-rank": "{rank}",
    "--master-addr": "{leader.host}",
    "--master-port": f"{{leader.port:{MASTER_PORT}}}",
    "--data-parallel-hybrid-lb": True,
}
_ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    # For /reset_prefix_cache. Requests are otherwise served the same.
    "VLLM_SERVER_DEV_MODE": "1",
    "VLLM_HOST_IP": "{host}",
    "VLLM_LOGGING_COLOR": "0",
    # No file of the current folder can shadow a module.
    "PYTHONSAFEPATH": "1",
}


def server_flags(request: EngineRequest, options: VllmOptions) -> dict[str, FlagValue]:
    """Flags of the HTTP server."""
    return {
        **_SERVER,
        "--served-model-name": request.served_name,
        # Usage reports cached tokens only with this flag. A decode server also reports tokens that
        # prefill computed as cached.
        "--enable-prompt-tokens-details": None if request.layout.disaggregated else True,
        "--chat-template": f"{{file:{TEMPLATE}}}" if options.chat_template_file else None,
        "--enable-auto-tool-choice": True if options.tool_call_parser else None,
        "--tool-call-parser": parser_name(request, options.tool_call_parser, "tool", "vLLM"),
        "--reasoning-parser": parser_name(request, options.reasoning_parser, "reasoning", "vLLM"),
    }


def model_flags(
    request: EngineRequest, options: VllmOptions, ranks: Ranks, *, role: str, hosts: int = 1
) -> dict[str, FlagValue]:
    """Flags of the model and of how it runs."""
    revision = None if request.weights is None else request.weights.hub_revision
    return {
        "--revision": revision,
        # The default is the tokenizer of the newest revision.
        "--tokenizer-revision": revision,
        **option_flags(options),
        **_parallel_flags(ranks, hosts),
        "--kv-transfer-config": transfer_config(role, options),
        "--max-model-len": served_context(request, options.context_tokens),
        "--max-num-seqs": max_num_seqs(request, options),
        "--kv-cache-memory-bytes": _kv_cache_bytes(request, options),
        "--enable-prefix-caching": request.needs.prefix_caching,
        **_offload_flags(options),
        "--speculative-config": speculative_config(request, options),
        "--compilation-config": _compilation(options),
    }


def _parallel_flags(ranks: Ranks, hosts: int) -> dict[str, FlagValue]:
    # Rank 0 of the replica has the ports on which all ranks connect.
    leader = "leader." if hosts > 1 else ""
    flags: dict[str, FlagValue] = {
        "--tensor-parallel-size": ranks.tp if ranks.count > 1 else None,
        "--pipeline-parallel-size": _above_one(ranks.pp),
        "--decode-context-parallel-size": _above_one(ranks.dcp),
        "--prefill-context-parallel-size": _above_one(ranks.pcp),
        "--enable-expert-parallel": True if ranks.expert_parallel else None,
    }
    if ranks.dp > 1:
        flags |= {
            "--data-parallel-size": ranks.dp,
            # Without it, ranks bind to the address of the host's first network.
            "--data-parallel-address": f"{{{leader}host}}",
            # One for all servers of the host by default.
            "--data-parallel-rpc-port": f"{{{leader}port:{DP_PORT}}}",
        }
    if hosts > 1:
        here = {"--nnodes": hosts, "--data-parallel-size-local": ranks.dp // hosts}
        flags |= {**_OVER_HOSTS, **here}
    return flags


def _offload_flags(options: VllmOptions) -> dict[str, FlagValue]:
    if options.kv_offload == "native":
        return {
            "--kv-offloading-backend": "native",
            "--kv-offloading-size": options.kv_offload_gib,
        }
    if options.kv_offload == "lmcache":
        # LMCache within vLLM's processes. `--kv-offloading-backend lmcache` would need a server of
        # LMCache beside them (vLLM 0.32, config/vllm.py).
        return {
            "--kv-transfer-config": FrozenMap(
                {"kv_connector": "LMCacheConnectorV1", "kv_role": "kv_both"}
            )
        }
    return {}


def _compilation(options: VllmOptions) -> FrozenMap[str] | None:
    mode = options.cudagraph_mode
    return None if mode is None else FrozenMap({"cudagraph_mode": mode.upper()})


def max_num_seqs(request: EngineRequest, options: VllmOptions) -> int:
    """The largest batch of each rank. vLLM does not distribute requests evenly over ranks."""
    return options.max_num_seqs or request.needs.concurrency


def _kv_cache_bytes(request: EngineRequest, options: VllmOptions) -> int | None:
    on_cpu = request.hardware.kind == CPU  # There it is a variable.
    return None if on_cpu or options.kv_cache_gib is None else options.kv_cache_gib * _GIB


def _above_one(degree: int) -> int | None:
    return degree if degree > 1 else None


def environment(
    request: EngineRequest, options: VllmOptions, ranks: Ranks, role: str
) -> dict[str, str]:
    """Variables of the process."""
    found = _ENVIRONMENT | transfer_environment(role, options)
    draft = drafting_weights(request, options.speculation, options.speculative_model)
    if all_local(request, draft):
        found["HF_HUB_OFFLINE"] = "1"
    if options.kv_offload == "lmcache":
        size = options.kv_offload_gib or 0.0
        # Of each rank (docs.nvidia.com/dynamo, "LMCache Integration", read 2026-11-30).
        found |= {
            "LMCACHE_LOCAL_CPU": "True",
            "LMCACHE_MAX_LOCAL_CPU_SIZE": f"{size / ranks.count:g}",
        }
    if request.hardware.kind == CPU:
        found |= _cpu_environment(request, options, ranks)
    return found


def _cpu_environment(request: EngineRequest, options: VllmOptions, ranks: Ranks) -> dict[str, str]:
    # `auto` gives each rank a NUMA node and fails if there are fewer.
    binding = options.cpu_binding or ("auto" if ranks.count == 1 else "nobind")
    found = {"VLLM_CPU_OMP_THREADS_BIND": binding}
    size = options.kv_cache_gib or _cpu_cache_gib(request, options)
    if size is not None:
        found["VLLM_CPU_KVCACHE_SPACE"] = str(size)
    if options.cpu_threads is not None:
        found["OMP_NUM_THREADS"] = str(options.cpu_threads)
    return found


def _cpu_cache_gib(request: EngineRequest, options: VllmOptions) -> int | None:
    """Room for a full batch: without the variable, vLLM takes 92 % of the host's memory."""
    context = served_context(request, options.context_tokens)
    if context is None:
        return None
    block = options.block_size or _CPU_BLOCK
    whole_blocks = (math.ceil(context / block) + 1) * block
    each = sequence_bytes(request.architecture, whole_blocks, options.kv_cache_dtype)
    if each is None:
        return None
    return max(1, math.ceil(each * max_num_seqs(request, options) / _GIB))
