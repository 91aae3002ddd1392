"""Mooncake between prefill and decode: the engine's option selects it; this module sets protocol
and adapters.

Facts: vLLM 0.32, kv_connector/v1/mooncake/mooncake_connector.py; SGLang 0.5.23,
distributed/device_communicators/mooncake_transfer_engine.py; ATOM ffdf3bb (2026-08-22),
atom/kv_transfer/disaggregation/mooncake/mooncake_connector.py; read 2026-12-01.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenbench.api import (
    Amendment,
    FlagValue,
    FrozenMap,
    ProcessSpec,
    UsageError,
    refuse_unused,
)

from .options import MooncakeOptions

_TRANSCEIVER = "cache_transceiver_config"
_CONFIG, _BACKEND = "--kv-transfer-config", "--disaggregation-transfer-backend"
_OF_STORE = ("segment_gib", "buffer_gib", "metadata", "prefetch_policy", "python")
TRANSFERS = ("vllm", "sglang", "atom", "trtllm")
"""Engines that can send KV cache through Mooncake."""
# As vLLM and as ATOM name it.
_CONNECTORS = ("mooncakeconnector", "mooncake")
_REASONS = {
    "MOONCAKE_PROTOCOL": "SGLang's default is rdma (SGLang 0.5.23, environ.py)",
    "MC_FORCE_TCP": "Mooncake's default is an RDMA adapter that it finds (documentation of its "
    "transfer engine, 2026-08-22)",
    "TRTLLM_USE_MOONCAKE_KVCACHE": "TensorRT-LLM's default is another backend, unless its options "
    "file names one (commit 02734d9, cpp/tensorrt_llm/common/envUtils.cpp)",
    "ATOM_MOONCAKE_IB_DEVICE": "the adapters for transfers (ATOM ffdf3bb, mooncake_connector.py)",
    _CONFIG: "the engine's default is rdma with any adapter (vLLM 0.32 and ATOM ffdf3bb, "
    "mooncake_connector.py)",
    "--disaggregation-ib-device": "the adapters for transfers (SGLang 0.5.23)",
}


def transfer(engine: str, servers: Sequence[ProcessSpec], options: MooncakeOptions) -> Amendment:
    """Protocol and adapters of transfers. There is no store: prefill sends KV cache to decode.

    Raises:
        UsageError: the engine sends its KV cache by other means, or an option has no effect.
    """
    because = "Mooncake sends KV cache from prefill to decode, without a store"
    refuse_unused(options, *_OF_STORE, because=because)
    if engine == "trtllm":
        refuse_unused(options, "devices", because="TensorRT-LLM chooses Mooncake's adapters itself")
    for process in servers:
        _check(engine, process)
    flags, variables = _settings(engine, options)
    roles = [process.role for process in servers]
    return Amendment(
        reason="how Mooncake transfers KV cache from prefill to decode",
        reasons=FrozenMap({k: v for k, v in _REASONS.items() if k in {*flags, *variables}}),
        flags=FrozenMap({role: FrozenMap(flags) for role in roles} if flags else {}),
        environment=FrozenMap({r: FrozenMap(variables) for r in roles} if variables else {}),
        devices=("/dev/infiniband",) if options.protocol == "rdma" else (),
    )


def _settings(engine: str, options: MooncakeOptions) -> tuple[dict[str, FlagValue], dict[str, str]]:
    devices, tcp = ",".join(options.devices), options.protocol == "tcp"
    flags: dict[str, FlagValue] = {}
    variables = {"MC_FORCE_TCP": "1"} if tcp else {}
    if engine == "vllm":
        extra: dict[str, Any] = {"mooncake_protocol": options.protocol}
        if devices:
            extra["device_name"] = devices
        flags[_CONFIG] = FrozenMap({"kv_connector_extra_config": FrozenMap(extra)})
    elif engine == "trtllm":
        variables["TRTLLM_USE_MOONCAKE_KVCACHE"] = "1"
    elif engine == "atom":
        flags[_CONFIG] = FrozenMap({"protocol": options.protocol})
        if devices:
            variables["ATOM_MOONCAKE_IB_DEVICE"] = devices
    else:
        variables["MOONCAKE_PROTOCOL"] = options.protocol
        if devices:
            flags["--disaggregation-ib-device"] = devices
    return flags, variables


def _check(engine: str, process: ProcessSpec) -> None:
    """Raise unless the engine sends KV cache with Mooncake."""
    if engine == "sglang":
        found = process.flags.get(_BACKEND, "mooncake")  # SGLang's default.
        if found not in ("mooncake", "mooncake_tcp"):
            _refuse(process.role, str(found), "the engine's option for the transfer backend")
    elif engine == "trtllm":
        if (named := _backend(process)) not in (None, "MOONCAKE"):
            _refuse(process.role, str(named), "the engine's kv_connector=mooncake")
    else:
        config = process.flags.get(_CONFIG)
        found = config.get("kv_connector") if isinstance(config, Mapping) else None
        if str(found).lower() not in _CONNECTORS:
            _refuse(
                process.role, str(found or "no connector"), "the engine's kv_connector=mooncake"
            )


def _backend(process: ProcessSpec) -> str | None:
    """The backend in TensorRT-LLM's options file; None for its default."""
    for file in process.files:
        config = None if isinstance(file.content, str) else file.content.get(_TRANSCEIVER)
        if isinstance(config, Mapping) and config.get("backend") != "DEFAULT":
            return str(config.get("backend"))
    return None


def _refuse(role: str, found: str, option: str) -> None:
    raise UsageError(
        f"the KV cache of {role} goes through {found}, not through Mooncake",
        hint=f"set {option}, or remove `--use mooncake`",
    )
