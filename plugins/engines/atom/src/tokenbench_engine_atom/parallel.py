"""How a topology is written for ATOM, and what ATOM cannot do of it.

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
    check_experts,
    check_heads,
    is_dense,
)

# config.py: `assert 1 <= self.tensor_parallel_size <= 8`.
_MOST_TP = 8


def check_topology(topology: Topology, shape: Architecture, model: str, chip: Sku | None) -> None:
    """Check that ATOM can split this model so.

    Raises:
        UsageError: it cannot.
    """
    tp, dp, ep, attention_dp = topology.tp, topology.dp, topology.ep, topology.attention_dp
    here = None if chip is None else chip.accelerators_per_host
    if here is not None and chip is not None and tp * dp > here:
        raise UsageError(
            f"{tp * dp} accelerators are needed, a host with {chip.name} has {here}: ATOM starts "
            "all ranks of a server on one host",
            hint=f"use at most {here} accelerators",
        )
    if tp > _MOST_TP:
        raise UsageError(
            f"tp={tp}: ATOM splits a model over at most {_MOST_TP} ranks",
            hint=f"use tp={_MOST_TP} or less, and dp",
        )
    if attention_dp not in (1, tp * dp):
        raise UsageError(
            f"attention_dp={attention_dp}: ATOM's attention DP has a rank on each accelerator "
            f"(tp x dp = {tp * dp}), or is off",
            hint=f"use attention_dp={tp * dp}, or leave it out",
        )
    if attention_dp > 1 and is_dense(shape):
        raise UsageError(
            f"attention_dp={attention_dp}: {model} has no experts that the ranks could share",
            hint=f"for independent ranks use dp={attention_dp}",
        )
    if ep > 1:
        check_experts(shape, model, ep=ep)
        width = tp * dp if attention_dp > 1 else tp
        if ep != width:
            raise UsageError(
                f"ep={ep}: ATOM spreads experts over the {width} accelerators that share them, or "
                "over none",
                hint=f"use ep={width}, or leave ep out; attention_dp={tp * dp} makes all share",
            )
    if attention_dp == 1:
        check_heads(shape, model, tp=tp)
