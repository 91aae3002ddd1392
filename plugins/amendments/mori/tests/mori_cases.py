"""Plans on AMD GPUs, and what the amendment makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenbench_amendment_mori.plugin import bench_amend_launch, bench_use_options

from tokenbench.api import (
    Amendment,
    AmendRequest,
    Architecture,
    EngineRequest,
    FrozenMap,
    HardwareFacts,
    LaunchPlan,
    Layout,
    Pool,
    ProcessSpec,
    ServingNeeds,
    Sku,
    Topology,
)

ENGINES = json.loads((Path(__file__).parent / "captured/engines.json").read_text())
PD = ("prefill", "decode")
WIDE = Topology(dp=8, ep=8)


def chip(name: str) -> Sku:
    """A chip with eight on a host."""
    return Sku(
        name=name,
        vendor="amd",
        label=name,
        source="test",
        date="2026-12-01",
        accelerators_per_host=8,
    )


def request(
    *roles: str, topology: Topology = WIDE, kind: str = "amd", sku: str = "mi355x"
) -> EngineRequest:
    """A request for pools of these roles."""
    return EngineRequest(
        model="m",
        served_name="m",
        weights=None,
        architecture=Architecture(),
        hardware=HardwareFacts(kind=kind, sku=sku, count=8 * len(roles), chip=chip(sku)),
        layout=Layout(pools=tuple(Pool(role=role, topology=topology) for role in roles)),
        needs=ServingNeeds(),
    )


def amended(
    engine: str,
    *roles: str,
    flags: dict[str, Any] | None = None,
    topology: Topology = WIDE,
    kind: str = "amd",
    sku: str = "mi355x",
    owned: dict[str, tuple[str, ...]] | None = None,
    **options: Any,
) -> Amendment | None:
    """The amendment of a plan with one process for each role, and a router of P/D."""
    asked = request(*(roles or ("server",)), topology=topology, kind=kind, sku=sku)
    processes = tuple(
        ProcessSpec(role=pool.role, argv=("serve",), flags=FrozenMap(flags or {}))
        for pool in asked.layout.pools
    )
    if asked.layout.disaggregated:
        processes += (ProcessSpec(role="router", argv=("route",)),)
    return bench_amend_launch(
        AmendRequest(engine=engine, request=asked, roles=FrozenMap(owned or {})),
        LaunchPlan(processes=processes),
        bench_use_options()(**options),
    )
