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


def check_pools(request: EngineRequest, options: SglangOptions) -> None:
    """Check that SGLang and its router serve these pools.

    Raises:
        UsageError: another engine or another option would be needed.
    """
    for pool in request.layout.pools:
        if pool.engine is not None:
            raise UsageError(
                f"the pool {pool.key!r} names the engine {pool.engine!r}: the engine sglang plans "
                "all of its pools itself",
                hint="leave the engine of the pool out, or use an orchestrator (--engine dynamo)",
            )
    if options.kv_offload != "none" and not request.needs.prefix_caching:
        raise UsageError(
            f"kv_offload={options.kv_offload} extends the prefix cache, which the load switches "
            "off",
            hint="measure with the prefix cache (load: prefix_caching: true), or leave kv_offload "
            "out",
        )
