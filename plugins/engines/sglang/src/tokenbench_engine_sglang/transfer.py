"""Several servers: prefill and decode in processes of their own, and SGLang's router.

Facts: SGLang 0.5.23, `arg_groups/fields/disagg.py`; sglang-router 0.3.2, its parser, run
2026-12-01.
"""

from __future__ import annotations

from tokenbench.api import (
    DECODE,
    PREFILL,
    EngineRequest,
    FlagValue,
    FrozenMap,
    Layout,
    ProcessSpec,
    UsageError,
    check_own_pools,
    given_options,
)

from .grammar import grammar
from .options import SglangOptions

ROUTER, BOOTSTRAP = "router", "bootstrap"
ROLES = (PREFILL, DECODE)
# The router asks its workers every 30 s by default, and starts after them.
_STARTUP_CHECK_S = 1


def transfer_flags(role: str, options: SglangOptions) -> dict[str, FlagValue]:
    """How the KV cache gets from prefill to decode; nothing for a process that does both."""
    if role not in ROLES:
        return {}
    return {
        "--disaggregation-mode": role,
        "--disaggregation-transfer-backend": options.kv_connector,
        "--disaggregation-bootstrap-port": f"{{port:{BOOTSTRAP}}}" if role == PREFILL else None,
        "--disaggregation-ib-device": options.kv_devices,
    }


def has_router(layout: Layout) -> bool:
    """Whether requests need one in front of the servers."""
    return sum(pool.replicas for pool in layout.pools) > 1


def router(python: str, request: EngineRequest, options: SglangOptions) -> ProcessSpec:
    """SGLang's router. With prefill and decode apart it sends each request to one of both, with the
    port where these two meet.
    """
    layout = request.layout
    workers: list[str] = ["--pd-disaggregation"] if layout.disaggregated else ["--worker-urls"]
    for pool in layout.pools:
        for index in range(pool.replicas):
            place = f"{pool.key}.{index}"
            url = f"http://{{{place}.host}}:{{{place}.port:http}}"
            if pool.role == PREFILL:
                workers += ["--prefill", url, f"{{{place}.port:{BOOTSTRAP}}}"]
            else:
                workers += ["--decode", url] if pool.role == DECODE else [url]
    return ProcessSpec(
        role=ROUTER,
        argv=(python, "-m", "sglang_router.launch_router", *workers),
        flags=FrozenMap(
            {
                "--host": "{host}",
                "--port": "{port:http}",
                "--policy": options.router_policy,
                "--prometheus-host": "{host}",
                "--prometheus-port": "{port:metrics}",
                "--worker-startup-check-interval": _STARTUP_CHECK_S,
                # A request that is sent again would be measured as one that took longer.
                "--disable-retries": True,
                # A line for each request costs time.
                "--log-level": "warn",
            }
        ),
        grammar=grammar("router"),
        environment=FrozenMap({"PYTHONSAFEPATH": "1"}),
        ports=("http", "metrics"),
        after=tuple(pool.key for pool in layout.pools),
        ready="http://{host}:{port:http}/readiness",
    )


def check_used(request: EngineRequest, options: SglangOptions, *, routed: bool) -> None:
    """Check that what is asked for pools, for a router and for CPUs has these.

    Args:
        routed: requests go through SGLang's router.

    Raises:
        UsageError: nothing would use an option.
    """
    pools = request.layout.pools
    unused = [] if any(pool.role in ROLES for pool in pools) else ["kv_connector", "kv_devices"]
    unused += [] if routed else ["router_policy"]
    if all((pool.hardware or request.hardware).kind != "cpu" for pool in pools):
        unused.append("cpu_binding")
    for name in given_options(options, *unused):
        raise UsageError(f"{name}: {_UNUSED[name]}, so nothing would use it", hint="leave it out")


_NO_POOLS = "there are no pools for prefill and decode"
_UNUSED = {
    "kv_connector": _NO_POOLS,
    "kv_devices": _NO_POOLS,
    "router_policy": "requests do not go through SGLang's router, which is for several servers",
    "cpu_binding": "this deployment does not run on CPUs",
}


def check_pools(request: EngineRequest, options: SglangOptions) -> None:
    """Check that SGLang and its router serve these pools.

    Raises:
        UsageError: another engine or another option would be needed.
    """
    check_own_pools(request.layout, "sglang")
    if options.kv_offload != "none" and not request.needs.prefix_caching:
        raise UsageError(
            f"kv_offload={options.kv_offload} extends the prefix cache, which the load switches "
            "off",
            hint="measure with the prefix cache (load: prefix_caching: true), or leave kv_offload "
            "out",
        )
