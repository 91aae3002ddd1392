"""Calls the observe hooks. A failure of an observer is logged and affects no other observer."""

from __future__ import annotations

from typing import Any

import structlog

from tokenbench.api import (
    BenchError,
    DeploymentReady,
    EvalFinished,
    PointFinished,
    PointStarted,
    RunFinished,
    RunStarted,
)
from tokenbench.guard.owner import PluginTooSlow
from tokenbench.plugins.registry import PluginRegistry

Event = RunStarted | DeploymentReady | PointStarted | PointFinished | EvalFinished | RunFinished

_HOOKS: dict[type[Any], str] = {
    RunStarted: "bench_run_started",
    DeploymentReady: "bench_deployment_ready",
    PointStarted: "bench_point_started",
    PointFinished: "bench_point_finished",
    EvalFinished: "bench_eval_finished",
    RunFinished: "bench_run_finished",
}


class Observers:
    """Sends events to the loaded observers."""

    def __init__(self, registry: PluginRegistry) -> None:
        self._registry = registry
        # Modules that did not return in time. They get no more events, which would wait again.
        self._hanging: set[str] = set()
        self._log = structlog.get_logger("observers")

    def tell(self, event: Event) -> None:
        """Call the event's hook of every loaded plugin, by module name."""
        hook = _HOOKS[type(event)]
        for observe in self._registry.implementations(hook):
            if observe.plugin in self._hanging:
                continue
            try:
                observe("observe", Any, event=event)
            except BenchError as error:
                self._log.warning(
                    "observer failed", plugin=observe.plugin, hook=hook, error=error.message
                )
                if isinstance(error, PluginTooSlow):
                    self._hanging.add(observe.plugin)
