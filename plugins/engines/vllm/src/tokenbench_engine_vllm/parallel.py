"""A topology as vLLM's flags, and the topologies that vLLM does not support.

vLLM (0.32, config/parallel.py) multiplies tp, pp, pcp and dp. On a model with experts, its
data-parallel ranks have attention layers of their own and share the experts, which are split over
tp x dp x pcp ranks: by expert with ``--enable-expert-parallel``, otherwise by tensor. So attention
DP of 8 on 8 accelerators is written ``--data-parallel-size 8`` with a tensor-parallel size of 1.
"""

from __future__ import annotations

import attrs

from tokenbench.api import (
    Architecture,
    Sku,
    Topology,
    UsageError,
    check_attention_dp,
    check_experts,
    check_heads,
    check_stages,
    hosts_needed,
)


@attrs.frozen(kw_only=True)
class Ranks:
    """Degrees as vLLM counts them."""

    tp: int
    pp: int
    dp: int
    pcp: int
    dcp: int
    expert_parallel: bool

    @property
    def count(self) -> int:
        """All ranks, one accelerator each."""
        return self.tp * self.pp * self.dp * self.pcp


def ranks(topology: Topology, architecture: Architecture, model: str) -> Ranks:
    """The topology as vLLM's degrees.

    Raises:
        UsageError: vLLM does not support the topology for this model.
    """
    tp, dp, ep, groups = topology.tp, topology.dp, topology.ep, topology.attention_dp
    check_attention_dp(architecture, model, attention_dp=groups)
    if groups > 1 and groups % dp:
        raise UsageError(
            f"attention_dp={groups} is not a multiple of dp={dp}: in vLLM each data-parallel rank "
            "has its own attention layers",
            hint="use dp alone, or attention_dp with dp=1",
            key="topology.attention_dp",
        )
    if groups > 1:
        tp, dp = tp * dp // groups, groups
    found = Ranks(
        tp=tp, pp=topology.pp, dp=dp, pcp=topology.pcp, dcp=topology.dcp, expert_parallel=ep > 1
    )
    if ep > 1:
        width = tp * dp * found.pcp
        says = f"vLLM spreads experts over all tp x dp x pcp = {tp} x {dp} x {found.pcp} = {width}"
        check_experts(architecture, model, ep=ep, all_of=width, says=f"{says} ranks")
    _check_divisions(found, architecture, model)
    return found


def _check_divisions(found: Ranks, shape: Architecture, model: str) -> None:
    check_heads(shape, model, tp=found.tp)
    check_stages(shape, model, pp=found.pp)
    tp, dcp = found.tp, found.dcp
    kv_heads = None if shape.latent_dim is not None else shape.kv_heads
    if kv_heads is not None and dcp > 1 and tp < kv_heads * dcp:
        raise UsageError(
            f"dcp={dcp}: dcp splits a sequence over the ranks of one KV head, and with tp={tp} "
            f"each of the {kv_heads} KV heads of {model} has {max(1, tp // kv_heads)} ranks",
            hint="use a smaller dcp, or a larger tp",
            key="topology.dcp",
        )


def hosts(found: Ranks, chip: Sku | None, *, wrapped: bool) -> int:
    """Hosts that one replica needs; 1 if the size of a host is unknown.

    A replica spans hosts by data parallelism: each host has whole data-parallel ranks and schedules
    them itself (vLLM's hybrid load balancing). So an orchestrator must send requests to every host.

    Raises:
        UsageError: vLLM does not support this distribution over hosts.
    """
    if not wrapped:
        why = "several hosts need an orchestrator"
        hint = "use a smaller topology, or --engine dynamo"
        return hosts_needed(found.count, chip, most=1, why=why, hint=hint)
    whole = found.count // found.dp
    return hosts_needed(
        found.count,
        chip,
        whole=whole,
        why=f"each host needs whole data-parallel ranks, and each of the {found.dp} has {whole}",
        hint="spread dp (or attention_dp) and ep over hosts; keep tp x pp x pcp within one",
    )
