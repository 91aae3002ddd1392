"""What the store changes in a plan, by engine."""

from __future__ import annotations

from collections.abc import Mapping

from tokenbench.api import (
    Amendment,
    AmendRequest,
    FileSpec,
    FlagValue,
    FrozenMap,
    LaunchPlan,
    ProcessSpec,
    UsageError,
    refuse_unused,
)

from .options import MooncakeOptions
from .store import (
    GIB,
    MASTER_ADDRESS,
    client_variables,
    metadata_address,
    processes,
    segment_bytes,
)
from .transfer import TRANSFERS, transfer

FILE = "mooncake.json"
_CONFIG, _STORAGE = "--kv-transfer-config", "--hicache-storage-backend"
# Flags with which an engine sends its KV cache elsewhere.
_ELSEWHERE = {
    "vllm": ("--kv-offloading-backend", _CONFIG),
    "sglang": (_STORAGE, "--enable-lmcache"),
}
# Engines without a client of the store. vLLM and SGLang have one; others get Mooncake's variables.
WITHOUT = {
    "llamacpp": "llama.cpp keeps its KV cache in its slots and has no connector to a store",
    "transformers": "transformers serve keeps no KV cache between requests",
    "trtllm": "TensorRT-LLM has its own offloading to host memory (host_cache_size), and no known "
    "setting that selects the Mooncake store",
    "atom": "ATOM uses Mooncake from prefill to decode only (commit ffdf3bb, 2026-08-22)",
}
REASON = "the Mooncake store keeps KV cache outside the engine, and all servers share it"


def amend(request: AmendRequest, plan: LaunchPlan, options: MooncakeOptions) -> Amendment | None:
    """The amendment; None where nothing is started.

    Raises:
        UsageError: the engine, or its settings, cannot be used with the store.
    """
    if not plan.processes:
        return None
    engine, roles = _servers(request, plan)
    if request.request.layout.disaggregated and engine in TRANSFERS:
        return transfer(engine, [p for p in plan.processes if p.role in roles], options)
    if engine in WITHOUT:
        raise UsageError(
            f"the Mooncake store cannot be used with {engine}: {WITHOUT[engine]}",
            hint="remove `--use mooncake`, or use vllm or sglang",
        )
    if engine in ("vllm", "sglang") and not request.request.needs.prefix_caching:
        raise UsageError(
            "the Mooncake store is a prefix cache, and the suite does not enable prefix caching",
            hint="set prefix_caching: true under load in the suite, or remove `--use mooncake`",
        )
    if engine != "sglang":
        because = "Mooncake's store has such a policy with SGLang only"
        refuse_unused(options, "prefetch_policy", because=because)
    else:
        refuse_unused(options, "buffer_gib", because="SGLang has no setting for Mooncake's buffer")
    flags, variables, files = _client(engine, options)
    servers = [process for process in plan.processes if process.role in roles]
    for process in servers:
        _check_alone(engine, process)
    added = processes(plan, options)
    before = tuple(process.role for process in added)
    return Amendment(
        reason=REASON,
        reasons=FrozenMap({k: v for k, v in _REASONS.items() if k in {*flags, *variables}}),
        flags=FrozenMap(dict.fromkeys(roles, flags) if flags else {}),
        environment=FrozenMap(dict.fromkeys(roles, variables)),
        files=FrozenMap(dict.fromkeys(roles, files) if files else {}),
        after=FrozenMap(dict.fromkeys(roles, before)),
        processes=added,
        devices=("/dev/infiniband",) if options.protocol == "rdma" else (),
    )


def _servers(request: AmendRequest, plan: LaunchPlan) -> tuple[str, tuple[str, ...]]:
    """The engine whose processes hold KV cache, and their roles."""
    pools = {pool.key for pool in request.request.layout.pools}
    owned = request.roles or {request.engine: tuple(p.role for p in plan.processes)}
    found = {
        engine: tuple(role for role in roles if role in pools) for engine, roles in owned.items()
    }
    engines = [engine for engine, roles in found.items() if roles] or [request.engine]
    if len(engines) > 1:
        raise UsageError(
            f"the pools have different engines ({', '.join(engines)}), whose KV caches differ",
            hint="remove `--use mooncake`, or give all pools one engine",
        )
    return engines[0], found.get(engines[0]) or tuple(p.role for p in plan.processes)


_REASONS = {
    "MOONCAKE_REQUESTER_LOCAL_HOSTNAME": "vLLM's default is the address of the route to the "
    "internet (vLLM 0.32, kv_connector/v1/mooncake/rdma_utils.py)",
    "MOONCAKE_LOCAL_HOSTNAME": "SGLang's default is localhost, which other hosts cannot reach "
    "(SGLang 0.5.23, environ.py)",
    "MOONCAKE_CONFIG_PATH": "vLLM reads the store's addresses and sizes from this file only (vLLM "
    "0.32, distributed/mooncake_store.py)",
    "PYTHONHASHSEED": "processes that share the store must compute equal hashes for equal blocks "
    "(vLLM 0.32, v1/core/kv_cache_utils.py)",
    "MC_TCP_BIND_ADDRESS": "by default a client registers the first network address that it "
    "finds, and fails if there is none (Mooncake 0.3.13.post1, run 2026-12-01)",
    "--enable-hierarchical-cache": "SGLang's cache in host memory, which the store extends "
    "(SGLang 0.5.23, arg_groups/fields/memory.py)",
}


def _client(
    engine: str, options: MooncakeOptions
) -> tuple[FrozenMap[FlagValue], FrozenMap[str], tuple[FileSpec, ...]]:
    """Flags, variables and files of each server."""
    http = options.protocol == "tcp" and options.metadata == "http"
    bind = {"MC_TCP_BIND_ADDRESS": "{host}"} if http else {}
    if engine == "vllm":
        return _vllm(options, bind)
    if engine == "sglang":
        return _sglang(options, bind)
    return FrozenMap(), FrozenMap({**client_variables(options), **bind}), ()


def _vllm(
    options: MooncakeOptions, bind: Mapping[str, str]
) -> tuple[FrozenMap[FlagValue], FrozenMap[str], tuple[FileSpec, ...]]:
    content: dict[str, str | int] = {
        "metadata_server": metadata_address(options),
        "master_server_address": MASTER_ADDRESS,
        "protocol": options.protocol,
        "device_name": ",".join(options.devices),
        "global_segment_size": segment_bytes(options),
    }
    if options.buffer_gib is not None:
        content["local_buffer_size"] = int(options.buffer_gib * GIB)
    connector = FrozenMap({"kv_connector": "MooncakeStoreConnector", "kv_role": "kv_both"})
    return (
        FrozenMap({_CONFIG: connector}),
        FrozenMap(
            {
                "MOONCAKE_CONFIG_PATH": f"{{file:{FILE}}}",
                "MOONCAKE_REQUESTER_LOCAL_HOSTNAME": "{host}",
                "PYTHONHASHSEED": "0",
                **bind,
            }
        ),
        (FileSpec(name=FILE, content=FrozenMap(content)),),
    )


def _sglang(
    options: MooncakeOptions, bind: Mapping[str, str]
) -> tuple[FrozenMap[FlagValue], FrozenMap[str], tuple[FileSpec, ...]]:
    extra: dict[str, str | int] = {
        "master_server_address": MASTER_ADDRESS,
        "metadata_server": metadata_address(options),
        "protocol": options.protocol,
        "device_name": ",".join(options.devices),
        "global_segment_size": segment_bytes(options),
    }
    flags: dict[str, FlagValue] = {
        "--enable-hierarchical-cache": True,
        _STORAGE: "mooncake",
        "--hicache-storage-backend-extra-config": FrozenMap(extra),
    }
    if options.prefetch_policy is not None:
        flags["--hicache-storage-prefetch-policy"] = options.prefetch_policy
    return FrozenMap(flags), FrozenMap({"MOONCAKE_LOCAL_HOSTNAME": "{host}", **bind}), ()


def _check_alone(engine: str, process: ProcessSpec) -> None:
    """Raise if the engine already sends its KV cache elsewhere."""
    for flag in _ELSEWHERE.get(engine, ()):
        value = process.flags.get(flag)
        if value is None or (flag, value) == (_STORAGE, "mooncake"):
            continue
        shown = dict(value) if isinstance(value, Mapping) else value
        raise UsageError(
            f"{process.role} already sends its KV cache elsewhere: {flag} {shown}",
            hint="remove the engine's own offloading (kv_offload), or remove `--use mooncake`",
        )
