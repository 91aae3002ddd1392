"""Calls the amend hook: each plugin on its own, so that a failure names its plugin."""

from __future__ import annotations

from tokenbench.api import (
    Amendment,
    AmendRequest,
    EngineRequest,
    FrozenMap,
    LaunchPlan,
)
from tokenbench.plugins.registry import PluginRegistry


def amendments_for(
    registry: PluginRegistry, engine: str, request: EngineRequest, plan: LaunchPlan
) -> list[tuple[str, Amendment]]:
    """The amendments of the loaded plugins, by module name, sorted by it.

    Raises:
        PluginError: a plugin failed.
    """
    roles: dict[str, tuple[str, ...]] = {}
    for process in plan.processes:
        own = plan.wraps.get(process.role, engine)
        roles[own] = (*roles.get(own, ()), process.role)
    asked = AmendRequest(engine=engine, request=request, roles=FrozenMap(roles))
    found = []
    for amend in registry.implementations("bench_amend_launch"):
        amendment = amend("pure", Amendment | None, request=asked, plan=plan)
        if amendment is not None:
            found.append((amend.plugin, amendment))
    return found
