"""Launch plans: of the scripted server for launchers, of a fictional engine for amendments."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from tokenbench.api import (
    Architecture,
    EndpointSpec,
    EngineRequest,
    FrozenMap,
    HardwareFacts,
    LaunchPlan,
    Layout,
    Pool,
    ProcessSpec,
    ServingNeeds,
    Topology,
    Weights,
)

SERVER_ARGV = (sys.executable, "-P", "-m", "tokenbench_testing.server", "--port", "{port:http}")


def server_plan(*script: str) -> LaunchPlan:
    """One scripted server with these options."""
    return LaunchPlan(processes=(ProcessSpec(argv=(*SERVER_ARGV, *script)),), start_timeout_s=20.0)


def shell_plan(
    script: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> LaunchPlan:
    """One process that runs a shell script, without an endpoint. Its arguments are $1, $2, ..."""
    process = ProcessSpec(
        argv=("sh", "-c", script, "sh", *arguments), environment=FrozenMap(environment or {})
    )
    return LaunchPlan(processes=(process,), endpoints=())


def engine_request(roles: tuple[str, ...] = ("server",)) -> EngineRequest:
    """A typical engine request, with two accelerators per role."""
    pools = tuple(Pool(role=role, topology=Topology(tp=2)) for role in roles)
    return EngineRequest(
        model="sample",
        served_name="sample",
        weights=Weights(
            precision="bf16", format="safetensors", source="hub:sample/sample", revision="0"
        ),
        architecture=Architecture(layers=32, hidden=4096, heads=32, kv_heads=8, vocabulary=128_000),
        hardware=HardwareFacts(kind="sample", sku="sample", count=2 * len(roles)),
        layout=Layout(pools=pools),
        needs=ServingNeeds(context_tokens=4096, concurrency=32),
    )


def engine_plan(request: EngineRequest) -> LaunchPlan:
    """A plan for a request: one process per pool, each with a flag, a variable and accelerators."""
    processes = tuple(
        ProcessSpec(
            role=pool.role,
            argv=("serve", "{weights}", "--port", "{port:http}"),
            flags=FrozenMap({"--tp": pool.topology.tp}),
            environment=FrozenMap({"SAMPLE_LOG": "info"}),
            replicas=pool.replicas,
            accelerators=pool.topology.accelerators,
        )
        for pool in request.layout.pools
    )
    endpoints = tuple(
        EndpointSpec(
            role=process.role,
            url=f"http://{{{process.role}.0.host}}:{{{process.role}.0.port:http}}",
        )
        for process in processes
    )
    return LaunchPlan(processes=processes, endpoints=endpoints)
