"""Disaggregated prefill and decode: the transfer of the KV cache between them.

Facts: vLLM 0.32, `distributed/kv_transfer/kv_connector/v1/{nixl,mooncake}` and `envs.py`;
vllm-router 0.1.17, its help and its requests (read and run 2026-11-30).
"""

from __future__ import annotations

from tokenbench.api import (
    DECODE,
    PREFILL,
    ROUTER,
    EngineRequest,
    FlagValue,
    FrozenMap,
    Pool,
    PortBlock,
    ProcessSpec,
    UsageError,
    is_dense,
    refuse_unused,
    server_url,
)

from .options import VllmOptions
from .parallel import Ranks

SIDE_CHANNEL, BOOTSTRAP = "nixl", "bootstrap"
CONNECTORS = {"nixl": "NixlConnector", "mooncake": "MooncakeConnector"}
_ROLES = {PREFILL: "kv_producer", DECODE: "kv_consumer"}
_ROUTER: FrozenMap[FlagValue] = FrozenMap(
    {
        "--host": "{host}",
        "--port": "{port:http}",
        "--prometheus-host": "{host}",
        "--prometheus-port": "{port:metrics}",
        # By default it polls its workers every 30 s. It starts after them.
        "--worker-startup-check-interval": 1,
        # A retried request would be measured as a slow one.
        "--disable-retries": True,
    }
)


def transfer_config(role: str, options: VllmOptions) -> FrozenMap[str] | None:
    """The value of ``--kv-transfer-config``; None for an aggregated process.

    Raises:
        UsageError: the KV cache would need two connectors.
    """
    kind = _ROLES.get(role)
    if kind is None:
        return None
    if options.kv_offload != "none":
        raise UsageError(
            f"kv_offload={options.kv_offload} cannot be combined with "
            f"{CONNECTORS[options.kv_connector]}, which a {role} pool uses for its KV cache",
            hint="remove kv_offload",
        )
    return FrozenMap({"kv_connector": CONNECTORS[options.kv_connector], "kv_role": kind})


def transfer_environment(role: str, options: VllmOptions) -> dict[str, str]:
    """The process's address and port, at which the other side fetches KV cache."""
    if role not in _ROLES:
        return {}
    if options.kv_connector == "nixl":
        return {
            "VLLM_NIXL_SIDE_CHANNEL_HOST": "{host}",
            "VLLM_NIXL_SIDE_CHANNEL_PORT": f"{{port:{SIDE_CHANNEL}}}",
        }
    return {"VLLM_MOONCAKE_BOOTSTRAP_PORT": f"{{port:{BOOTSTRAP}}}"} if role == PREFILL else {}


def transfer_ports(role: str, options: VllmOptions, ranks: Ranks) -> tuple[str | PortBlock, ...]:
    """NIXL: data-parallel rank N listens on the first port + N. Mooncake: one for all ranks."""
    if role not in _ROLES:
        return ()
    if options.kv_connector == "nixl":
        return (PortBlock(name=SIDE_CHANNEL, count=ranks.dp),)
    return (BOOTSTRAP,) if role == PREFILL else ()


def router(python: str, request: EngineRequest, options: VllmOptions) -> ProcessSpec:
    """vllm-router: sends a prompt to a prefill worker, then the request to a decode worker."""
    workers: list[str] = []
    for pool in request.layout.pools:
        for place in pool.places:
            workers += [f"--{pool.role}", server_url(place)]
            if pool.role == PREFILL and options.kv_connector == "mooncake":
                workers.append(f"{{{place}.port:{BOOTSTRAP}}}")
    return ProcessSpec(
        role=ROUTER,
        argv=(python, "-m", "vllm_router.launch_router", "--vllm-pd-disaggregation", *workers),
        flags=_ROUTER.updated(
            {"--kv-connector": options.kv_connector, "--policy": options.router_policy}
        ),
        environment=FrozenMap({"PYTHONSAFEPATH": "1"}),
        ports=("http", "metrics"),
        after=request.layout.keys,
        ready="http://{host}:{port:http}/health",
    )


def check_used(request: EngineRequest, options: VllmOptions, *, routed: bool) -> None:
    """Check that options for pools, the router, experts and CPUs have an effect.

    Args:
        routed: requests go through vLLM's router.

    Raises:
        UsageError: an option has no effect.
    """
    pools = request.layout.pools
    if not any(pool.role in _ROLES for pool in pools):
        because = "there are no pools for prefill and decode"
        refuse_unused(options, "kv_connector", because=because)
    if not routed:
        because = "vLLM's router is used only with pools for prefill and decode"
        refuse_unused(options, "router_policy", because=because)
    if is_dense(request.architecture):
        because = f"{request.model} has no experts"
        refuse_unused(options, "all2all_backend", "eplb", "moe_backend", because=because)
    if all(request.on(pool).hardware.kind != "cpu" for pool in pools):
        because = "this deployment does not run on CPUs"
        refuse_unused(options, "cpu_threads", "cpu_binding", because=because)


def first_prompt_tokens(pools: tuple[Pool, ...], options: VllmOptions) -> int:
    """Length of a prompt whose KV cache is transferred: only whole blocks are."""
    disaggregated = any(pool.role in _ROLES for pool in pools)
    return 2 * (options.block_size or _LARGEST_BLOCK) + 1 if disaggregated else 1


# Tokens in a block: 16 on GPUs, 64 for some kernels of latent attention, 128 on CPUs (vLLM 0.32).
_LARGEST_BLOCK = 128
