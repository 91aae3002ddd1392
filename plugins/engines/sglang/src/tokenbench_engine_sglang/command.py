"""Flags and variables of one SGLang process. Model and server flags are separate, so that an
orchestrator can wrap the worker.
"""

from __future__ import annotations

import math
import re

from tokenbench.api import (
    EngineRequest,
    FlagValue,
    Pool,
    UsageError,
    all_local,
    check_memory,
    check_precision,
    option_flags,
    parser_name,
    required_context,
    served_context,
)

from .options import SglangOptions
from .parallel import Ranks
from .speculation import drafting_model, environment_of_drafts, speculation_flags
from .transfer import transfer_flags

DIST = "dist"
DIST_PORTS = 7
"""The port on which ranks connect, and those that SGLang derives from it (`PortArgs`, SGLang
0.5.23)."""
TEMPLATE = "chat-template.jinja"
CPU = "cpu"
# The largest default of SGLang (0.5.23, arg_groups/memory_hook.py). It leaves 1.5 GiB or more for
# activations and graphs.
_LARGEST_SHARE = 0.99
# Tokens of a context that SGLang leaves unused.
_UNUSED = 2
# The first version that has --attn-dp-size: the parsers of 0.5.21 and 0.5.22, 2026-12-01. The older
# form is removed after 2026-12-31 (server_args.py of 0.5.23).
_ATTENTION_DP_FLAG = (0, 5, 22)


_SERVER: dict[str, FlagValue] = {
    "--host": "{host}",
    "--port": "{port:http}",
    # Usage reports cached tokens only with this flag.
    "--enable-cache-report": True,
    # A log line per request costs time and hides the other lines.
    "--log-level-http": "warning",
}
_WITHOUT_GRAPHS: dict[str, FlagValue] = {
    "--cuda-graph-backend-decode": "disabled",
    "--cuda-graph-backend-prefill": "disabled",
}
_ENVIRONMENT = {
    # No file of the current folder can shadow a module.
    "PYTHONSAFEPATH": "1",
    # The address for other hosts and for KV transfer. The default is that of the first network.
    "SGLANG_HOST_IP": "{host}",
}


def server_flags(request: EngineRequest, options: SglangOptions) -> dict[str, FlagValue]:
    """Flags of the HTTP server."""
    return {
        **_SERVER,
        "--served-model-name": request.served_name,
        "--chat-template": f"{{file:{TEMPLATE}}}" if options.chat_template_file else None,
        "--tool-call-parser": parser_name(request, options.tool_call_parser, "tool", "SGLang"),
        "--reasoning-parser": parser_name(request, options.reasoning_parser, "reasoning", "SGLang"),
    }


def model_flags(
    request: EngineRequest,
    options: SglangOptions,
    found: Ranks,
    pool: Pool,
    *,
    hosts: int = 1,
    version: str | None = None,
) -> dict[str, FlagValue]:
    """Flags of the model and of how it runs.

    Args:
        version: the planned one; None for the newest known.
    """
    _check_chip(request, options, found)
    return {
        "--revision": None if request.weights is None else request.weights.hub_revision,
        "--device": CPU if request.hardware.kind == CPU else None,
        **option_flags(options),
        **_parallel_flags(found, hosts, version),
        **transfer_flags(pool.role, options),
        # SGLang shortens answers so that two tokens of a context remain (0.5.23,
        # `init_req_max_new_tokens`).
        "--context-length": served_context(request, options.context_tokens, unused=_UNUSED),
        "--max-running-requests": options.max_running_requests or _running(request, found),
        "--disable-radix-cache": None if request.needs.prefix_caching else True,
        **_offload_flags(options),
        **speculation_flags(request, options),
        **({} if options.cuda_graphs else _WITHOUT_GRAPHS),
        "--disable-overlap-schedule": None if options.overlap_schedule else True,
        "--enable-metrics": True,
    }


def _parallel_flags(found: Ranks, hosts: int, version: str | None) -> dict[str, FlagValue]:
    leader = "leader." if hosts > 1 else ""
    flags: dict[str, FlagValue] = {
        "--tp-size": found.tp if found.count > 1 else None,
        "--pp-size": _above_one(found.pp),
        "--dp-size": _above_one(found.dp),
        "--dcp-size": _above_one(found.dcp),
        "--ep-size": _above_one(found.ep),
    }
    if found.attention_dp > 1:
        flags |= _attention_dp_flags(found.attention_dp, version)
    if needs_meeting_port(found, hosts):
        flags["--dist-init-addr"] = f"{{{leader}host}}:{{{leader}port:{DIST}}}"
    if hosts > 1:
        flags |= {"--nnodes": hosts, "--node-rank": "{rank}"}
    return flags


def needs_meeting_port(found: Ranks, hosts: int) -> bool:
    """Whether ranks need a port to connect on. Without it, attention DP on one host derives seven
    ports from the HTTP port, and another server may use them.
    """
    return hosts > 1 or found.attention_dp > 1


def _attention_dp_flags(degree: int, version: str | None) -> dict[str, FlagValue]:
    if version is None or _numbers(version) >= _ATTENTION_DP_FLAG:
        return {"--attn-dp-size": degree}
    return {"--dp-size": degree, "--enable-dp-attention": True}


def _numbers(version: str) -> tuple[int, ...]:
    """The release: ``0.5.22rc1`` and ``0.5.22.post2`` are (0, 5, 22)."""
    found = re.match(r"\d+(\.\d+){0,2}", version)
    return () if found is None else tuple(map(int, found[0].split(".")))


def _offload_flags(options: SglangOptions) -> dict[str, FlagValue]:
    if options.kv_offload == "hicache":
        storage = None if options.kv_storage == "none" else options.kv_storage
        return {
            "--enable-hierarchical-cache": True,
            "--hicache-storage-backend": storage,
        }
    return {"--enable-lmcache": True} if options.kv_offload == "lmcache" else {}


def _running(request: EngineRequest, found: Ranks) -> int:
    """SGLang divides this number evenly among its schedulers, but not the requests."""
    return request.needs.concurrency * found.schedulers


def _check_chip(request: EngineRequest, options: SglangOptions, found: Ranks) -> None:
    hint = "fp4_weight_only=true to dequantize them in each operation"
    check_precision(request, hint=hint, accepted=options.fp4_weight_only)
    context, cache = required_context(request, options.context_tokens), options.kv_cache_tokens
    # Decode context parallelism divides the tokens of a sequence.
    if cache is not None and context is not None and cache * found.dcp < context:
        raise UsageError(
            f"kv_cache_tokens={cache}: a prompt and its answer have up to {context} tokens",
            hint=f"use at least {math.ceil(context / found.dcp)}, or remove it",
        )
    check_memory(
        request,
        # Each data-parallel replica holds all weights, including experts.
        ranks=found.count // found.dp,
        replicated=1,
        share=options.memory_share or _LARGEST_SHARE,
        context=context,
        kv_dtype=options.kv_cache_dtype,
    )


def _above_one(degree: int) -> int | None:
    return degree if degree > 1 else None


def environment(request: EngineRequest, options: SglangOptions) -> dict[str, str]:
    """Variables of the process."""
    found = _ENVIRONMENT | environment_of_drafts(request, options)
    if all_local(request, drafting_model(request, options)):
        found["HF_HUB_OFFLINE"] = "1"
    if request.hardware.kind == CPU:
        found["SGLANG_USE_CPU_ENGINE"] = "1"
        if options.cpu_binding is not None:
            found["SGLANG_CPU_OMP_THREADS_BIND"] = options.cpu_binding
    return found
