"""The symbols of one process, bound for its host."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from tokenbench.api import LaunchPlan, Placement, PluginError, ProcessSpec

from .node.client import NodeAgent
from .settings import LaunchSettings
from .symbols import bind_file, bind_process, symbol_values


def start_arguments(
    spec: ProcessSpec,
    placement: Placement,
    placements: Sequence[Placement],
    plan: LaunchPlan,
    agent: NodeAgent,
    settings: LaunchSettings,
    shared: str | None = None,
) -> dict[str, Any]:
    """What the agent of the host needs to start a process: `argv`, `environment`, `files`, `cpus`.

    Raises:
        PluginError: a symbol has no value, or a file is named like no file.
    """
    folder = f"{agent.folder}/{placement.name}"
    cpus = placement.host.cpus
    values = {
        **symbol_values(placements, plan.processes, placement),
        "cpus": str(len(cpus) or agent.facts["cpus"]),
        "scratch": folder,
        "shared": shared or f"{agent.folder}/shared",
        **({} if settings.weights is None else {"weights": settings.weights}),
        **{f"weights:{name}": path for name, path in settings.extra_weights.items()},
        **{f"file:{file.name}": f"{folder}/{file.name}" for file in spec.files},
    }
    for file in spec.files:
        if file.name in {"", ".", "..", "tmp"} or "/" in file.name:
            raise PluginError(
                f"invalid file name {file.name!r}",
                hint="the name of a FileSpec must not contain a folder",
            )
    where = f"process {placement.name}"
    bound = bind_process(spec, placement.name, values, dict(os.environ))
    return {
        "argv": bound.argv,
        "environment": bound.environment,
        "files": {file.name: bind_file(file, values, where) for file in spec.files},
        "cpus": list(cpus),
    }
