"""Topology: how an engine is distributed over accelerators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from .errors import UsageError
from .frozen import FrozenMap
from .sku import HardwareFacts

SERVER = "server"
PREFILL = "prefill"
DECODE = "decode"

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Topology:
    """Parallel degrees of one engine replica, by their standard names.

    tp, pp, pcp and dp multiply the accelerators. `attention_dp`: into how many data-parallel groups
    the attention layers split the tp x dp ranks, where the other layers are split otherwise
    (SGLang's and TensorRT-LLM's attention DP). It and dcp reuse accelerators, and so does ep, up to
    all of them; wide EP may span more.
    """

    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1
    attention_dp: int = 1
    dcp: int = 1
    pcp: int = 1

    @property
    def degrees(self) -> dict[str, int]:
        """The degrees that differ from their defaults, by name."""
        return {
            name: int(getattr(self, name))
            for name, field in attrs.fields_dict(Topology).items()
            if getattr(self, name) != field.default
        }

    @property
    def accelerators(self) -> int:
        """Accelerators of one replica."""
        return max(self.ep, self.tp * self.pp * self.pcp * self.dp)

    @property
    def label(self) -> str:
        """The degrees in short: ``tp8ep8dpa8``; ``tp1`` for a single accelerator."""
        short = {"attention_dp": "dpa"}
        return "".join(f"{short.get(k, k)}{n}" for k, n in self.degrees.items()) or "tp1"


@attrs.frozen(kw_only=True)
class Pool:
    """Replicas with the same topology that do the same.

    `role` is what they do: ``server``, ``prefill`` or ``decode``. `name` tells pools of one role
    apart. `engine`: the engine of its processes with its options, where another engine orchestrates
    it; None for the orchestrator's own choice. `hardware`: what the pool runs on, where it differs
    from the deployment's.
    """

    role: str = SERVER
    name: str = ""
    topology: Topology = Topology()
    replicas: int = 1
    engine: str | None = None
    engine_options: FrozenMap[Any] = FrozenMap()
    hardware: HardwareFacts | None = None

    @property
    def key(self) -> str:
        """The name, or else the role: the role of its processes in a launch plan."""
        return self.name or self.role

    @property
    def places(self) -> tuple[str, ...]:
        """Its replicas as symbols of a launch plan name them: ``decode.0``, ``decode.1``."""
        return tuple(f"{self.key}.{index}" for index in range(self.replicas))

    @property
    def accelerators(self) -> int:
        """Accelerators of all replicas."""
        return self.replicas * self.topology.accelerators


@attrs.frozen(kw_only=True)
class Layout:
    """All pools of a deployment: one `server` pool, or prefill and decode pools."""

    pools: tuple[Pool, ...] = (Pool(),)

    @property
    def accelerators(self) -> int:
        """Accelerators of the whole deployment."""
        return sum(pool.accelerators for pool in self.pools)

    @property
    def disaggregated(self) -> bool:
        """Whether prefill and decode run in separate pools."""
        return {pool.role for pool in self.pools} >= {PREFILL, DECODE}

    @property
    def servers(self) -> int:
        """Replicas of all pools."""
        return sum(pool.replicas for pool in self.pools)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of all pools: the roles of their processes in a launch plan."""
        return tuple(pool.key for pool in self.pools)

    def each(self, make: Callable[[Pool], T]) -> tuple[T, ...]:
        """What `make` returns for each pool. A UsageError that it raises is shown at that pool."""
        made = []
        for pool in self.pools:
            try:
                made.append(make(pool))
            except UsageError as error:
                error.pool = error.pool or pool.key
                raise
        return tuple(made)

    def pool(self, key: str) -> Pool:
        """The pool with that key.

        Raises:
            KeyError: there is no such pool.
        """
        for pool in self.pools:
            if pool.key == key:
                return pool
        raise KeyError(key)

    def of_role(self, role: str) -> tuple[Pool, ...]:
        """The pools of a role."""
        return tuple(pool for pool in self.pools if pool.role == role)

    def role_of(self, key: str) -> str:
        """What processes do: the role of the pool with that key; for others, such as a router, the
        key itself.
        """
        return next((pool.role for pool in self.pools if pool.key == key), key)
