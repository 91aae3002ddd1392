"""Settings in which vllm-neuron, vLLM's build for Trainium, differs from vLLM. Unproven: it never
ran here.

Facts: vllm-neuron 0.2.0 (2025-11-14), `platform.py` and README; AWS Neuron documentation, "Best
practices for training" (logical cores of Trn2) and "Trainium" (read 2026-12-01).
"""

from __future__ import annotations

from tokenbench.api import (
    Amendment,
    AmendRequest,
    FlagValue,
    FrozenMap,
    LaunchPlan,
    Pool,
    ProcessSpec,
    UsageError,
    check_build,
)

_BUILD = "vllm-neuron 0.2.0 (read 2026-12-01)"
# Logical NeuronCores, which its tensor-parallel size counts: pairs of the eight of a Trainium2.
# Other chips it does not name.
_CORES = {"trn1": 2, "trn2": 4}
# It has one kind of kernels and of compiler, and no other place for KV cache.
_NO_USE = (
    "--all2all-backend",
    "--enable-eplb",
    "--attention-backend",
    "--moe-backend",
    "--optimization-level",
    "--compilation-config",
    "--cudagraph-capture-sizes",
    "--kv-offloading-backend",
    "--kv-transfer-config",
)
_TP, _BLOCKS, _MORE = "--tensor-parallel-size", "--num-gpu-blocks-override", "--additional-config"
REASONS = {
    _TP: f"NeuronCores, not chips: {_BUILD}",
    _BLOCKS: f"without it, the build may read past the end of its cache: {_BUILD}",
    _MORE: f"the same, and that prefix caching is on: {_BUILD}",
    "--block-size": f"without prefix caching, a block is as long as the context: {_BUILD}",
}


def amend(request: AmendRequest, plan: LaunchPlan) -> Amendment | None:
    """Flags of vLLM's servers on Trainium; None if there are none.

    Raises:
        UsageError: the build cannot do it.
    """
    flags: dict[str, FrozenMap[FlagValue]] = {}
    for engine, process, pool in request.processes_on("trainium", plan):
        if engine == "vllm":
            facts = request.request.on(pool).hardware
            if facts.chip is not None and facts.sku not in _CORES:
                raise UsageError(
                    f"vLLM's build for Trainium does not name {facts.sku}: {_BUILD}",
                    hint=f"it names {', '.join(_CORES)}",
                )
            check_build(process, _BUILD, without=_NO_USE)
            _check_prefix_caching(process)
            flags[process.role] = FrozenMap(_flags(process, pool, _CORES.get(facts.sku or "", 1)))
    if not flags:
        return None
    return Amendment(
        reason="what vLLM's build for Trainium needs",
        reasons=FrozenMap(REASONS),
        flags=FrozenMap(flags),
    )


def _check_prefix_caching(process: ProcessSpec) -> None:
    if not process.flags.get("--enable-prefix-caching"):
        return
    if "--block-size" not in process.flags:
        raise UsageError(
            f"prefix caching needs an explicit block size: {_BUILD}",
            hint="set it: block_size=32",
        )
    if process.flags.get("--max-num-seqs") == 1:
        raise UsageError(
            f"prefix caching gives wrong answers in batches of one: {_BUILD}",
            hint="use a higher concurrency",
        )


def _flags(process: ProcessSpec, pool: Pool, cores: int) -> dict[str, FlagValue]:
    found: dict[str, FlagValue] = {_TP: pool.topology.tp * cores}
    batch, context = process.flags.get("--max-num-seqs"), process.flags.get("--max-model-len")
    if not process.flags.get("--enable-prefix-caching"):
        return found | {_BLOCKS: batch, "--block-size": None}
    size = process.flags.get("--block-size")
    if not (isinstance(size, int) and isinstance(context, int) and isinstance(batch, int)):
        return found
    blocks = -(-context // size) * batch
    cache = {
        "is_prefix_caching": True,
        "is_block_kv_layout": True,
        "pa_num_blocks": blocks,
        "pa_block_size": size,
    }
    return found | {
        _BLOCKS: blocks,
        _MORE: FrozenMap(override_neuron_config=FrozenMap(cache)),
    }
