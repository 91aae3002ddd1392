"""Settings in which tpu-inference, vLLM's build for TPUs, differs from vLLM. Unproven: it never
ran.

Facts: tpu-inference v0.27.0 (2026-08-20), `platforms/tpu_platform.py`, `layers/common/sharding.py`,
its CI's settings and `support_matrices/nightly/v7x` (read 2026-12-01).
"""

from __future__ import annotations

from tokenbench.api import (
    Amendment,
    AmendRequest,
    EngineRequest,
    FlagValue,
    FrozenMap,
    LaunchPlan,
    Pool,
    ProcessSpec,
    check_build,
)

_BUILD = "tpu-inference v0.27.0 (read 2026-12-01)"
# Devices of a chip that its tensor-parallel size counts: its CI runs tpu7x with two a chip, and a
# tensor-parallel size of 1 fails there.
_CORES = {"tpuv7": 2}
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
# Two chips are a tray (libtpu; Ray, accelerators/tpu.py, read 2026-11).
_BOUNDS = {1: "1,1,1", 2: "1,2,1"}
_TP, _MORE = "--tensor-parallel-size", "--additional-config"
REASONS = {
    _TP: f"devices, not chips: {_BUILD}",
    _MORE: f"attention DP is a layout of one tensor-parallel group: {_BUILD}",
    "NEW_MODEL_DESIGN": f"models with latent attention have no other implementation: {_BUILD}",
    "TPU_PROCESS_BOUNDS": "libtpu has to be told that it does not have the whole host",
    "TPU_CHIPS_PER_PROCESS_BOUNDS": "the shape of its part of the host (libtpu)",
}


def amend(request: AmendRequest, plan: LaunchPlan) -> Amendment | None:
    """Flags and variables of vLLM's servers on TPUs; None if there are none.

    Raises:
        UsageError: the build cannot do it.
    """
    flags: dict[str, FrozenMap[FlagValue]] = {}
    variables: dict[str, FrozenMap[str]] = {}
    for engine, process, pool in request.processes_on("tpu", plan):
        if engine == "vllm":
            check_build(process, _BUILD, without=_NO_USE)
            asked = request.request.on(pool)
            flags[process.role] = FrozenMap(_flags(asked, pool))
            variables[process.role] = FrozenMap(_variables(asked, process))
    if not flags:
        return None
    return Amendment(
        reason="what vLLM's build for TPUs needs",
        reasons=FrozenMap(REASONS),
        flags=FrozenMap(flags),
        environment=FrozenMap({role: mine for role, mine in variables.items() if mine}),
    )


def _flags(asked: EngineRequest, pool: Pool) -> dict[str, FlagValue]:
    topology, cores = pool.topology, _CORES.get(asked.hardware.sku or "", 1)
    if topology.attention_dp <= 1:
        return {_TP: topology.tp * cores}
    strategy = {"enable_dp_attention": True, "attn_dp_size": topology.attention_dp * cores}
    sharding = FrozenMap(sharding_strategy=FrozenMap(strategy))
    return {
        **{f"--data-parallel-{name}": None for name in ("size", "address", "rpc-port")},
        _TP: topology.tp * topology.dp * cores,
        _MORE: FrozenMap(sharding=sharding),
    }


def _variables(asked: EngineRequest, process: ProcessSpec) -> dict[str, str]:
    found = {} if asked.architecture.latent_dim is None else {"NEW_MODEL_DESIGN": "1"}
    count, chip = process.accelerators, asked.hardware.chip
    here = None if chip is None else chip.accelerators_per_host
    if here is not None and count < here and count in _BOUNDS:
        found["TPU_PROCESS_BOUNDS"] = "1,1,1"
        found["TPU_CHIPS_PER_PROCESS_BOUNDS"] = _BOUNDS[count]
    return found
