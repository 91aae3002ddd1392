"""Topology: how an engine is distributed over accelerators."""

from __future__ import annotations

import attrs

SERVER = "server"
PREFILL = "prefill"
DECODE = "decode"
ROUTER = "router"
CLIENT = "client"


@attrs.frozen(kw_only=True)
class Topology:
    """Parallel degrees of one engine replica, by their standard names.

    `ep`, `dcp` and `dp_attention` reuse the accelerators of tp; only tp, pp and pcp multiply them.
    """

    tp: int = 1
    pp: int = 1
    ep: int = 1
    dp_attention: bool = False
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
        return self.tp * self.pp * self.pcp


@attrs.frozen(kw_only=True)
class Pool:
    """Replicas of one role with the same topology."""

    role: str = SERVER
    topology: Topology = Topology()
    replicas: int = 1

    @property
    def accelerators(self) -> int:
        """Accelerators of all replicas."""
        return self.replicas * self.topology.accelerators


@attrs.frozen(kw_only=True)
class Layout:
    """All pools of a deployment: one `server` pool, or a prefill and a decode pool."""

    pools: tuple[Pool, ...] = (Pool(),)

    @property
    def accelerators(self) -> int:
        """Accelerators of the whole deployment."""
        return sum(pool.accelerators for pool in self.pools)

    @property
    def disaggregated(self) -> bool:
        """Whether prefill and decode run in separate pools."""
        return {pool.role for pool in self.pools} >= {PREFILL, DECODE}

    def pool(self, role: str) -> Pool:
        """The pool of `role`.

        Raises:
            KeyError: there is no such pool.
        """
        for pool in self.pools:
            if pool.role == role:
                return pool
        raise KeyError(role)
