"""Plans of engines, and what the amendment makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
from tokenbench_amendment_mooncake.plugin import bench_amend_launch, bench_use_options

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
    Topology,
)

ENGINES = json.loads((Path(__file__).parent / "captured/engines.json").read_text())


def request(*roles: str, prefix_caching: bool = True, kind: str = "nvidia") -> EngineRequest:
    """A request for pools of these roles."""
    return EngineRequest(
        model="m",
        served_name="m",
        weights=None,
        architecture=Architecture(),
        hardware=HardwareFacts(kind=kind, sku="sku", count=2 * len(roles)),
        layout=Layout(pools=tuple(Pool(role=role, topology=Topology(tp=2)) for role in roles)),
        needs=ServingNeeds(prefix_caching=prefix_caching),
    )


def amended(
    engine: str,
    *roles: str,
    flags: dict[str, Any] | None = None,
    prefix_caching: bool = True,
    owned: dict[str, tuple[str, ...]] | None = None,
    argv: tuple[str, ...] = ("/env/bin/python", "-m", "engine"),
    **options: Any,
) -> Amendment | None:
    """The amendment of a plan with one process for each role, and a router of P/D."""
    asked = request(*(roles or ("server",)), prefix_caching=prefix_caching)
    processes = tuple(
        ProcessSpec(role=pool.role, argv=argv, flags=FrozenMap(flags or {}))
        for pool in asked.layout.pools
    )
    if asked.layout.disaggregated:
        processes += (ProcessSpec(role="router", argv=("route",)),)
    plan = LaunchPlan(processes=processes)
    return bench_amend_launch(
        AmendRequest(engine=engine, request=asked, roles=FrozenMap(owned or {})),
        plan,
        bench_use_options()(**options),
    )


def without_processes(engine: str) -> Amendment | None:
    """What it answers for a server that is already running."""
    asked = AmendRequest(engine=engine, request=request("server"))
    return bench_amend_launch(
        asked, attrs.evolve(LaunchPlan(), processes=()), bench_use_options()()
    )
