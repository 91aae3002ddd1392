"""A topology as SGLang's flags, and the topologies that SGLang does not support.

SGLang (0.5.23, `arg_groups/parallel_hook.py` and `validation_hook.py`) counts the accelerators of a
replica as tp x pp. Attention DP, decode context parallelism and expert parallelism divide the tp
ranks; `--dp-size` multiplies them by independent replicas in one server, which do not share experts
and run on one host.
"""

from __future__ import annotations

import attrs

from tokenbench.api import (
    Architecture,
    Sku,
    Topology,
    UsageError,
    check_experts,
    check_heads,
    check_stages,
    hosts_needed,
)


@attrs.frozen(kw_only=True)
class Ranks:
    """Degrees as SGLang counts them."""

    tp: int
    pp: int
    dp: int
    attention_dp: int
    ep: int
    dcp: int

    @property
    def count(self) -> int:
        """All ranks, one accelerator each."""
        return self.tp * self.pp * self.dp

    @property
    def schedulers(self) -> int:
        """Ranks with a scheduler of their own."""
        return self.dp * self.attention_dp


def ranks(topology: Topology, shape: Architecture, model: str) -> Ranks:
    """The topology as SGLang's degrees. Data-parallel ranks that share experts are attention DP.

    Raises:
        UsageError: SGLang does not support the topology for this model.
    """
    tp, dp, attention_dp = topology.tp, topology.dp, topology.attention_dp
    if attention_dp > 1 or (dp > 1 and topology.ep > topology.tp):
        attention_dp = max(attention_dp, dp)
        tp, dp = tp * dp, 1
    found = Ranks(
        tp=tp, pp=topology.pp, dp=dp, attention_dp=attention_dp, ep=topology.ep, dcp=topology.dcp
    )
    if tp % attention_dp:
        raise UsageError(
            f"attention_dp={attention_dp} does not divide the {tp} ranks (tp x dp): SGLang needs "
            "attention groups of equal size",
            hint="use an attention_dp that divides tp x dp",
            key="topology.attention_dp",
        )
    if found.ep > 1:
        check_experts(shape, model, ep=found.ep)
        if tp % found.ep:
            raise UsageError(
                f"ep={found.ep}: SGLang spreads experts over the {tp} ranks (tp x dp), which "
                f"{found.ep} does not divide",
                hint=f"use an ep that divides {tp}, or more tp"
                if tp > 1
                else "use more tp, or no ep",
                key="topology.ep",
            )
    within = tp // attention_dp
    if found.dcp > 1 and within % found.dcp:
        raise UsageError(
            f"dcp={found.dcp} does not divide the {within} ranks of an attention group "
            "(tp x dp / attention_dp)",
            hint="use a dcp that divides them",
            key="topology.dcp",
        )
    check_heads(shape, model, tp=within)
    check_stages(shape, model, pp=found.pp)
    return found


def hosts(found: Ranks, chip: Sku | None) -> int:
    """Hosts that one replica needs; 1 if the size of a host is unknown.

    Raises:
        UsageError: SGLang does not support this distribution over hosts.
    """
    if found.dp > 1:
        return hosts_needed(
            found.count,
            chip,
            most=1,
            why="SGLang does not spread data-parallel replicas over hosts",
            hint=f"use attention_dp={found.dp} instead of dp for a model with experts, or several "
            "replicas",
        )
    why = "SGLang uses all accelerators of each host"
    return hosts_needed(found.count, chip, why=why, hint="use a multiple of {here} accelerators")
