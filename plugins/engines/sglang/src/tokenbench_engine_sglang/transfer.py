"""Several servers: disaggregated prefill and decode, and SGLang's router.

Facts: SGLang 0.5.23, `arg_groups/fields/disagg.py`; sglang-router 0.3.2, its parser, run
2026-12-01.
"""

from __future__ import annotations

from tokenbench.api import (
    DECODE,
    PREFILL,
    ROUTER,
    EngineRequest,
    FlagGrammar,
    FlagValue,
    FrozenMap,
    Layout,
    ProcessSpec,
    UsageError,
    check_own_pools,
    is_dense,
    refuse_unused,
    server_url,
)

from .options import SglangOptions

PACKAGE, BOOTSTRAP = "tokenbench_engine_sglang", "bootstrap"
ROLES = (PREFILL, DECODE)
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
        # A log line per request costs time.
        "--log-level": "warn",
    }
)


def transfer_flags(role: str, options: SglangOptions) -> dict[str, FlagValue]:
    """Flags for the transfer of KV cache; none for an aggregated process."""
    if role not in ROLES:
        return {}
    return {
        "--disaggregation-mode": role,
        "--disaggregation-transfer-backend": options.kv_connector,
        "--disaggregation-bootstrap-port": f"{{port:{BOOTSTRAP}}}" if role == PREFILL else None,
        "--disaggregation-ib-device": options.kv_devices,
    }


def has_router(layout: Layout) -> bool:
    """Whether there is a router in front of the servers."""
    return layout.servers > 1


def router(python: str, request: EngineRequest, options: SglangOptions) -> ProcessSpec:
    """SGLang's router. If disaggregated, it sends each request to a prefill and a decode server,
    with the port on which the two connect.
    """
    layout = request.layout
    workers: list[str] = ["--pd-disaggregation"] if layout.disaggregated else ["--worker-urls"]
    for pool in layout.pools:
        for place in pool.places:
            workers += [f"--{pool.role}"] if pool.role in ROLES else []
            workers.append(server_url(place))
            workers += [f"{{{place}.port:{BOOTSTRAP}}}"] if pool.role == PREFILL else []
    return ProcessSpec(
        role=ROUTER,
        argv=(python, "-m", "sglang_router.launch_router", *workers),
        flags=_ROUTER.updated({"--policy": options.router_policy}),
        grammar=FlagGrammar.of_package(PACKAGE, "router.json"),
        environment=FrozenMap({"PYTHONSAFEPATH": "1"}),
        ports=("http", "metrics"),
        after=layout.keys,
        ready="http://{host}:{port:http}/readiness",
    )


def check_used(request: EngineRequest, options: SglangOptions, *, routed: bool) -> None:
    """Check that options for pools, the router, experts and CPUs have an effect.

    Args:
        routed: requests go through SGLang's router.

    Raises:
        UsageError: an option has no effect.
    """
    pools = request.layout.pools
    if not any(pool.role in ROLES for pool in pools):
        because = "there are no pools for prefill and decode"
        refuse_unused(options, "kv_connector", "kv_devices", because=because)
    if not routed:
        because = "SGLang's router is used only with several servers"
        refuse_unused(options, "router_policy", because=because)
    if is_dense(request.architecture):
        because = f"{request.model} has no experts"
        refuse_unused(options, "all2all_backend", "eplb", "moe_backend", because=because)
    if all(request.on(pool).hardware.kind != "cpu" for pool in pools):
        refuse_unused(options, "cpu_binding", because="this deployment does not run on CPUs")


def check_pools(request: EngineRequest, options: SglangOptions) -> None:
    """Check that SGLang and its router serve these pools.

    Raises:
        UsageError: another engine or another option would be needed.
    """
    check_own_pools(request.layout, "sglang")
    if options.kv_offload != "none" and not request.needs.prefix_caching:
        raise UsageError(
            f"kv_offload={options.kv_offload} extends the prefix cache, which the suite does not "
            "enable",
            hint="measure with the prefix cache (load: prefix_caching: true), or remove kv_offload",
        )
