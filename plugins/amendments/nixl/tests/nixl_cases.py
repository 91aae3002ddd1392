"""Plans with pools, and what the amendment makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenbench_amendment_nixl.plugin import bench_amend_launch, bench_use_options

from tokenbench.api import (
    Amendment,
    AmendRequest,
    Architecture,
    EngineRequest,
    FileSpec,
    FrozenMap,
    HardwareFacts,
    LaunchPlan,
    Layout,
    Pool,
    ProcessSpec,
    ServingNeeds,
)

ENGINES = json.loads((Path(__file__).parent / "captured/engines.json").read_text())
PD = ("prefill", "decode")
VLLM = {"--kv-transfer-config": FrozenMap({"kv_connector": "NixlConnector"})}
SGLANG = {"--disaggregation-transfer-backend": "nixl"}


def request(*roles: str, sku: str = "h200") -> EngineRequest:
    """A request for pools of these roles."""
    return EngineRequest(
        model="m",
        served_name="m",
        weights=None,
        architecture=Architecture(),
        hardware=HardwareFacts(kind="nvidia", sku=sku, count=len(roles)),
        layout=Layout(pools=tuple(Pool(role=role) for role in roles)),
        needs=ServingNeeds(),
    )


def amended(
    engine: str,
    *roles: str,
    flags: dict[str, Any] | None = None,
    environment: dict[str, str] | None = None,
    owned: dict[str, tuple[str, ...]] | None = None,
    sku: str = "h200",
    files: tuple[FileSpec, ...] = (),
    **options: Any,
) -> Amendment | None:
    """The amendment of a plan with one process for each role, and a router."""
    processes = tuple(
        ProcessSpec(
            role=role,
            argv=("serve",),
            flags=FrozenMap(flags or {}),
            environment=FrozenMap(environment or {}),
            files=files,
        )
        for role in roles
    )
    plan = LaunchPlan(processes=(*processes, ProcessSpec(role="router", argv=("route",))))
    asked = AmendRequest(
        engine=engine, request=request(*roles, sku=sku), roles=FrozenMap(owned or {})
    )
    return bench_amend_launch(asked, plan, bench_use_options()(**options))
