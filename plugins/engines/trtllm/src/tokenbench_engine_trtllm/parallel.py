"""A topology as TensorRT-LLM's flags, and the topologies that TensorRT-LLM does not support.

Its ranks are tp x pp (llm_args.py, `_ParallelConfig.world_size`). Attention DP is a switch: each of
the tp ranks then has attention layers of its own. Experts are split over the tp ranks, by expert in
`moe_expert_parallel_size` groups and by tensor within each.
"""

from __future__ import annotations

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


def check_topology(topology: Topology, shape: Architecture, model: str) -> None:
    """Check that TensorRT-LLM supports this topology for the model.

    Raises:
        UsageError: it does not.
    """
    tp, ep, attention_dp = topology.tp, topology.ep, topology.attention_dp
    if attention_dp not in (1, tp):
        raise UsageError(
            f"attention_dp={attention_dp}: TensorRT-LLM supports attention DP only over all {tp} "
            "ranks of tp",
            hint=f"use attention_dp={tp}, or leave it out",
            key="topology.attention_dp",
        )
    if ep > 1:
        check_experts(shape, model, ep=ep)
    if tp % ep:
        raise UsageError(
            f"ep={ep}: TensorRT-LLM spreads experts over groups of its tp ranks, and {tp} / {ep} = "
            f"{tp / ep:.4g}",
            hint=f"use an ep that divides tp={tp}, or more tp"
            if tp > 1
            else "use more tp, or no ep",
            key="topology.ep",
        )
    if attention_dp == 1:
        check_heads(shape, model, tp=tp)
    check_stages(shape, model, pp=topology.pp)


def hosts(topology: Topology, chip: Sku | None) -> int:
    """Hosts that one replica needs; 1 if the size of a host is unknown.

    Raises:
        UsageError: the replica would not fill them.
    """
    why = "MPI starts the same number of ranks on each host"
    return hosts_needed(topology.accelerators, chip, why=why, hint="use a multiple of {here}")
