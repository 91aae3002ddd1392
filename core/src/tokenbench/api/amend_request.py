"""The input of the hook that amends a launch plan."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from .engine import EngineRequest
from .frozen import FrozenMap
from .launch import LaunchPlan, ProcessSpec
from .topology import Pool


@attrs.frozen(kw_only=True)
class AmendRequest:
    """The input of an amendment: the engine's name and the request its plan was made for.

    `roles`: which roles are processes of which engine, by its name: `engine` itself, and the
    engines whose workers it runs.
    """

    engine: str
    request: EngineRequest
    roles: FrozenMap[tuple[str, ...]] = FrozenMap()

    def processes_on(self, kind: str, plan: LaunchPlan) -> Iterator[tuple[str, ProcessSpec, Pool]]:
        """The processes of pools on hardware of a kind, each with its engine and its pool."""
        owners = {role: engine for engine, roles in self.roles.items() for role in roles}
        pools = {pool.key: pool for pool in self.request.layout.pools}
        for process in plan.processes:
            pool = pools.get(process.role)
            if pool is not None and (pool.hardware or self.request.hardware).kind == kind:
                yield owners.get(process.role, self.engine), process, pool
