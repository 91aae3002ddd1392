"""Calls the amend hook: each plugin on its own, so that a failure names its plugin."""

from __future__ import annotations

from tokenbench.api import (
    Amendment,
    AmendRequest,
    EngineRequest,
    FrozenMap,
    LaunchPlan,
)
from tokenbench.plugins.registry import Implementation, PluginRegistry


def amendments_for(
    registry: PluginRegistry, engine: str, request: EngineRequest, plan: LaunchPlan
) -> list[tuple[Implementation, Amendment | None]]:
    """The loaded plugins with the hook, sorted by module name, each with its amendment; None if it
    leaves the plan alone.

    Raises:
        PluginError: a plugin failed.
    """
    roles: dict[str, tuple[str, ...]] = {}
    for process in plan.processes:
        own = plan.wraps.get(process.role, engine)
        roles[own] = (*roles.get(own, ()), process.role)
    asked = AmendRequest(engine=engine, request=request, roles=FrozenMap(roles))
    return [
        (amend, amend("pure", Amendment | None, request=asked, plan=plan))
        for amend in registry.implementations("bench_amend_launch")
    ]
