"""A topology as ATOM's flags, and the topologies that ATOM does not support.

Each of `dp` ranks has `tp` accelerators and its own copy of the model. With `--enable-dp-attention`
each accelerator is a data-parallel rank, and all share the experts; `--enable-expert-parallel`
spreads these by expert over the accelerators that share them (model_ops/moe.py,
`FusedMoEParallelConfig`).
"""

from __future__ import annotations

from tokenbench.api import (
    Architecture,
    Sku,
    Topology,
    UsageError,
    check_attention_dp,
    check_experts,
    check_heads,
    hosts_needed,
)

# config.py: `assert 1 <= self.tensor_parallel_size <= 8`.
_MOST_TP = 8


def check_topology(topology: Topology, shape: Architecture, model: str, chip: Sku | None) -> None:
    """Check that ATOM supports this topology for the model.

    Raises:
        UsageError: it does not.
    """
    tp, dp, ep, attention_dp = topology.tp, topology.dp, topology.ep, topology.attention_dp
    hosts_needed(
        tp * dp,
        chip,
        most=1,
        why="ATOM starts all ranks of a server on one host",
        hint="use at most {here} accelerators",
    )
    if tp > _MOST_TP:
        raise UsageError(
            f"tp={tp}: ATOM splits a model over at most {_MOST_TP} ranks",
            hint=f"use tp={_MOST_TP} or less, and dp",
            key="topology.tp",
        )
    if attention_dp not in (1, tp * dp):
        raise UsageError(
            f"attention_dp={attention_dp}: ATOM supports attention DP only over all {tp * dp} "
            "accelerators (tp x dp)",
            hint=f"use attention_dp={tp * dp}, or leave it out",
            key="topology.attention_dp",
        )
    check_attention_dp(shape, model, attention_dp=attention_dp)
    if ep > 1:
        width = tp * dp if attention_dp > 1 else tp
        says = f"ATOM spreads experts over the {width} accelerators that share them"
        check_experts(shape, model, ep=ep, all_of=width, says=says)
    if attention_dp == 1:
        check_heads(shape, model, tp=tp)
