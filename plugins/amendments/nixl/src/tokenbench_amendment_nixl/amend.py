"""What NIXL changes in a plan, by engine.

Facts: vLLM 0.32, envs.py and kv_connector/v1/nixl; SGLang 0.5.23, environ.py and
disaggregation/nixl/conn.py; TensorRT-LLM 02734d9, envUtils.cpp; NIXL 8770b655 (2026-08-21);
InferenceX 843c625 (2026-08-21); read 2026-12-01.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tokenbench.api import (
    Amendment,
    AmendRequest,
    FlagValue,
    FrozenMap,
    LaunchPlan,
    PortBlock,
    ProcessSpec,
    UsageError,
)

from .options import NixlOptions

_CONFIG, _BACKEND = "--kv-transfer-config", "--disaggregation-transfer-backend"
_TRANSCEIVER = "cache_transceiver_config"
_CONNECTORS = ("NixlConnector", "NixlPullConnector", "NixlPushConnector")
_HOST, _PORT = "VLLM_NIXL_SIDE_CHANNEL_HOST", "VLLM_NIXL_SIDE_CHANNEL_PORT"
SIDE_CHANNEL = "nixl"
_RACKS = ("gb200", "gb300")
# Engines that can send KV cache with NIXL. Other engines are unknown.
KNOWN = ("vllm", "sglang", "trtllm")
WITHOUT = {
    "llamacpp": "llama.cpp does not divide prefill and decode",
    "transformers": "transformers serve does not divide prefill and decode",
    "atom": "ATOM sends KV cache by MoRI-IO or Mooncake (commit ffdf3bb, 2026-08-22)",
}
_REASONS = {
    _HOST: "the address for the handshake of prefill and decode; vLLM's default is localhost, "
    "which other hosts cannot reach (vLLM 0.32, envs.py)",
    _PORT: "one port for each server; vLLM's default is 5600 for all servers of a host (vLLM 0.32)",
    "UCX_TLS": "restricts UCX to these transports, as InferenceX's recipes for Dynamo do (commit "
    "843c625, 2026-08-21)",
    "UCX_NET_DEVICES": "by default UCX may use any adapter, even one that does not reach the "
    "other side (NVIDIA's DOCA documentation 2.10, DOCA UCX)",
    "UCX_CUDA_IPC_ENABLE_MNNVL": "KV cache is sent over the rack's NVLink, not over the network, "
    "as in InferenceX's recipes for GB200 and GB300 (commit 843c625, 2026-08-21)",
    "UCX_IB_GID_INDEX": "the adapters' address that is routed between hosts (InferenceX "
    "benchmarks/multi_node/amd_utils/env.sh, commit 843c625, 2026-08-21)",
    "UCX_IB_TRAFFIC_CLASS": "traffic class of the lossless RoCE network (InferenceX "
    "benchmarks/multi_node/amd_utils/env.sh, commit 843c625, 2026-08-21)",
    "SGLANG_DISAGGREGATION_NIXL_BACKEND": "SGLang's default is UCX (SGLang 0.5.23, environ.py)",
    "TRTLLM_NIXL_KVCACHE_BACKEND": "TensorRT-LLM's default is UCX (commit 02734d9, "
    "cpp/tensorrt_llm/common/envUtils.cpp)",
    "NIXL_LOG_LEVEL": "what NIXL writes to the server's log (NIXL 8770b655, src)",
    _CONFIG: "vLLM's default is UCX (vLLM 0.32, kv_connector/v1/nixl/base_worker.py)",
}


def amend(request: AmendRequest, plan: LaunchPlan, options: NixlOptions) -> Amendment | None:
    """The amendment; None where nothing is started, or of an unknown engine.

    Raises:
        UsageError: the engine sends no KV cache, or sends it by other means.
    """
    if not plan.processes:
        return None
    owned = request.roles or {request.engine: tuple(p.role for p in plan.processes)}
    for engine in owned:
        if engine in WITHOUT:
            raise UsageError(
                f"NIXL cannot be used with {engine}: {WITHOUT[engine]}",
                hint="remove `--use nixl`",
            )
    pools = {pool.key for pool in request.request.layout.pools}
    known = {e: [r for r in roles if r in pools] for e, roles in owned.items() if e in KNOWN}
    if not any(known.values()):
        return None
    if not request.request.layout.disaggregated:
        raise UsageError(
            "NIXL transfers KV cache from prefill to decode, but this deployment has one pool",
            hint="add pools for prefill and decode, or remove `--use nixl`",
        )
    return _amendment(request, plan, known, options)


def _amendment(
    request: AmendRequest,
    plan: LaunchPlan,
    known: Mapping[str, Sequence[str]],
    options: NixlOptions,
) -> Amendment | None:
    flags: dict[str, FrozenMap[FlagValue]] = {}
    variables: dict[str, FrozenMap[str]] = {}
    ports: dict[str, tuple[str, ...]] = {}
    for engine, roles in known.items():
        for process in plan.processes:
            if process.role not in roles:
                continue
            _check(engine, process)
            found = {**_common(options, _sku(request, process.role)), **_own(engine, options)}
            if engine == "vllm" and _HOST not in process.environment:
                found |= {_HOST: "{host}", _PORT: f"{{port:{SIDE_CHANNEL}}}"}
                if SIDE_CHANNEL not in _names(process.ports):
                    ports[process.role] = (SIDE_CHANNEL,)
            if engine == "vllm" and options.backend is not None:
                extra: dict[str, Any] = {"backends": (options.backend,)}
                config = FrozenMap({"kv_connector_extra_config": FrozenMap(extra)})
                flags[process.role] = FrozenMap({_CONFIG: config})
            if found:
                variables[process.role] = FrozenMap(found)
    set_here = {name for one in (*flags.values(), *variables.values()) for name in one}
    if not set_here:
        return None
    return Amendment(
        reason="how NIXL transfers KV cache from prefill to decode",
        reasons=FrozenMap({k: v for k, v in _REASONS.items() if k in set_here}),
        flags=FrozenMap(flags),
        environment=FrozenMap(variables),
        ports=FrozenMap(ports),
    )


def _names(ports: Sequence[PortBlock]) -> set[str]:
    return {block.name for block in ports}


def _sku(request: AmendRequest, role: str) -> str | None:
    pool = request.request.layout.pool(role)
    return (pool.hardware or request.request.hardware).sku


def _common(options: NixlOptions, sku: str | None) -> dict[str, str]:
    """Variables of UCX and of NIXL itself."""
    ucx = options.backend in (None, "UCX")
    rack = options.rack_nvlink
    if rack is None and sku in _RACKS and ucx:
        rack = True
    found = {
        "UCX_TLS": ",".join(options.transports),
        "UCX_NET_DEVICES": ",".join(options.devices),
        "UCX_CUDA_IPC_ENABLE_MNNVL": {None: "", True: "y", False: "n"}[rack],
        "UCX_IB_GID_INDEX": _text(options.gid_index),
        "UCX_IB_TRAFFIC_CLASS": _text(options.traffic_class),
        "NIXL_LOG_LEVEL": options.log_level or "",
    }
    return {name: value for name, value in found.items() if value}


def _text(value: int | None) -> str:
    return "" if value is None else str(value)


def _own(engine: str, options: NixlOptions) -> dict[str, str]:
    """Variables of the engine."""
    if engine == "sglang" and options.backend is not None:
        return {"SGLANG_DISAGGREGATION_NIXL_BACKEND": options.backend}
    if engine == "trtllm" and options.backend is not None:
        return {"TRTLLM_NIXL_KVCACHE_BACKEND": options.backend}
    return {}


def _backend(process: ProcessSpec) -> str | None:
    """The backend in TensorRT-LLM's options file; None for its default."""
    for file in process.files:
        config = None if isinstance(file.content, str) else file.content.get(_TRANSCEIVER)
        if isinstance(config, Mapping) and config.get("backend") != "DEFAULT":
            return str(config.get("backend"))
    return None


def _check(engine: str, process: ProcessSpec) -> None:
    """Raise unless the engine sends KV cache with NIXL."""
    found: object = "NIXL"
    if engine == "sglang":
        found = process.flags.get(_BACKEND, "mooncake")  # SGLang's default.
        wrong = found != "nixl"
    elif engine == "vllm":
        config = process.flags.get(_CONFIG)
        if isinstance(config, str):
            config = json.loads(config)
        found = config.get("kv_connector") if isinstance(config, Mapping) else None
        wrong = found not in _CONNECTORS
    else:
        found = _backend(process) or "NIXL"
        wrong = found != "NIXL"
    if wrong:
        raise UsageError(
            f"the KV cache of {process.role} goes through {found or 'no connector'}, not NIXL",
            hint="choose nixl in the engine's options (vllm: kv_connector=nixl), or leave "
            "`--use nixl` out",
        )
