"""Calls the amend hook: each plugin on its own, so that a failure names its plugin."""

from __future__ import annotations

from tokenbench.api import (
    Amendment,
    AmendRequest,
    BenchError,
    EngineRequest,
    LaunchPlan,
    PluginError,
)
from tokenbench.plugins.registry import PluginRegistry


def amendments_for(
    registry: PluginRegistry, engine: str, request: EngineRequest, plan: LaunchPlan
) -> list[tuple[str, Amendment]]:
    """The amendments of the loaded plugins, by module name, sorted by it.

    Raises:
        PluginError: a plugin failed.
    """
    asked = AmendRequest(engine=engine, request=request)
    found = []
    for amend in registry.implementations("bench_amend_launch"):
        name = amend.plugin
        try:
            amendment = amend(request=asked, plan=plan)
        except BenchError:
            raise
        except Exception as error:
            raise PluginError(
                f"{name} failed to amend the launch: {type(error).__name__}: {error}",
                hint=f"leave it out with --no-plugin, or report it to the author of {name}",
            ) from error
        if amendment is not None:
            found.append((name, amendment))
    return found
