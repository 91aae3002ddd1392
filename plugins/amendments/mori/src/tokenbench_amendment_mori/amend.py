"""What MoRI changes in a plan, by engine."""

from __future__ import annotations

from collections.abc import Mapping

from tokenbench.api import (
    DECODE,
    Amendment,
    AmendRequest,
    FlagValue,
    FrozenMap,
    LaunchPlan,
    Pool,
    ProcessSpec,
    UsageError,
    refuse_unused,
)

from .facts import (
    A2A,
    ALL2ALL,
    CHUNK,
    DISPATCH_DEFAULT,
    DISPATCH_TOKENS,
    MODE,
    REASONS,
    TRANSFER,
    VLLM_CHIPS,
    WITHOUT,
)
from .options import MoriOptions

_KNOWN = ("vllm", "sglang", "atom")
_MODES = {"high_throughput": "normal", "low_latency": "low_latency"}


def amend(request: AmendRequest, plan: LaunchPlan, options: MoriOptions) -> Amendment | None:
    """The amendment; None where nothing is started, or of an unknown engine.

    Raises:
        UsageError: the hardware is not AMD's, MoRI has nothing to send, or an option no effect.
    """
    owned = request.roles or {request.engine: tuple(p.role for p in plan.processes)}
    known = {role: engine for engine, roles in owned.items() if engine in _KNOWN for role in roles}
    refused = next((engine for engine in owned if engine in WITHOUT), None)
    if not plan.processes or not (known or refused):
        return None
    pools = {pool.key: pool for pool in request.request.layout.pools}
    for pool in pools.values():
        _check_hardware(request, pool)
    if refused is not None:
        raise UsageError(
            f"MoRI cannot be used with {refused}: {WITHOUT[refused]}",
            hint="remove `--use mori`, or use vllm, sglang or atom",
        )
    flags: dict[str, FrozenMap[FlagValue]] = {}
    variables: dict[str, FrozenMap[str]] = {}
    used: list[tuple[str, bool, bool]] = []
    for process in plan.processes:
        engine, own = known.get(process.role), pools.get(process.role)
        if engine is None or own is None:
            continue
        experts = options.experts and _spreads_experts(engine, own, process)
        if experts and engine == "vllm":
            _check_chip(request, own)
        transfer = engine != "vllm" and request.request.layout.disaggregated and options.transfer
        if not experts and not transfer:
            continue
        flags[process.role] = FrozenMap(_flags(engine, own, options, experts, transfer))
        found = _variables(options, experts, transfer)
        if engine == "sglang":
            found |= _of_sglang(process, own, options, experts)
        variables[process.role] = FrozenMap(found)
        used.append((engine, experts, transfer))
    if not used:
        _refuse(request)
    _check_options(options, used)
    set_here = {name for one in (*flags.values(), *variables.values()) for name in one}
    return Amendment(
        reason="AMD's own kernels for communication between GPUs",
        reasons=FrozenMap({k: v for k, v in REASONS.items() if k in set_here}),
        flags=FrozenMap({role: mine for role, mine in flags.items() if mine}),
        environment=FrozenMap({role: mine for role, mine in variables.items() if mine}),
        devices=("/dev/infiniband",) if _leaves_host(request) else (),
    )


def _check_options(options: MoriOptions, used: list[tuple[str, bool, bool]]) -> None:
    """Raise for an option without effect. `used`: of each role, its engine, and whether MoRI sends
    tokens to experts and KV cache to decode.
    """
    spread = {engine for engine, experts, _ in used if experts}
    if not spread:
        names = ("mode", "dispatch_tokens", "heap_gib", "heap_mode")
        refuse_unused(options, *names, because="MoRI sends no tokens to experts here")
    if "sglang" not in spread:
        refuse_unused(options, "dispatch_tokens", because="MoRI takes it from SGLang only")
    if spread == {"atom"}:
        refuse_unused(options, "mode", because="ATOM chooses MoRI's kernels itself")
    if not any(transfer for _, _, transfer in used):
        refuse_unused(options, "send_queue", because="MoRI transfers no KV cache here")


def _check_hardware(request: AmendRequest, pool: Pool) -> None:
    facts = pool.hardware or request.request.hardware
    if facts.kind != "amd":
        raise UsageError(
            f"MoRI needs AMD GPUs, but {pool.key} runs on {facts.kind} ({facts.sku})",
            hint="remove `--use mori`; on NVIDIA GPUs see vllm:all2all_backend=deepep_...",
        )


def _check_chip(request: AmendRequest, pool: Pool) -> None:
    facts = pool.hardware or request.request.hardware
    if facts.chip is not None and facts.chip.name not in VLLM_CHIPS:
        raise UsageError(
            f"vLLM 0.32 uses MoRI on {', '.join(VLLM_CHIPS)} (gfx942, gfx950), not on "
            f"{facts.chip.name}",
            hint="remove `--use mori`",
        )


def _spreads_experts(engine: str, pool: Pool, process: ProcessSpec) -> bool:
    """VLLM and ATOM use an all-to-all backend with data-parallel ranks only (vLLM 0.32,
    fused_moe/config.py; ATOM's docs/distributed_guide.md).
    """
    topology = pool.topology
    if topology.ep <= 1:
        return False
    ranks = (topology.dp or 1) * (topology.attention_dp or 1)
    return engine == "sglang" or ranks > 1 or "--data-parallel-size" in process.flags


def _flags(
    engine: str, pool: Pool, options: MoriOptions, experts: bool, transfer: bool
) -> Mapping[str, FlagValue]:
    """ATOM has none: it uses MoRI where it is installed."""
    found: dict[str, FlagValue] = {}
    if engine == "vllm":
        low = options.mode or ("low_latency" if pool.role == DECODE else "high_throughput")
        found[ALL2ALL] = f"mori_{low}"
    if engine == "sglang" and experts:
        found[A2A] = "mori"
        if options.mode is not None:
            found[MODE] = _MODES[options.mode]
    if engine == "sglang" and transfer:
        found[TRANSFER] = "mori"
    return found


def _variables(options: MoriOptions, experts: bool, transfer: bool) -> dict[str, str]:
    """MoRI's own."""
    level, kind = options.service_level, options.traffic_class
    found: dict[str, object] = {
        "MORI_RDMA_DEVICES": ",".join(options.devices) or None,
        "MORI_SOCKET_IFNAME": options.interface,
    }
    if experts:
        heap = options.heap_gib
        found |= {
            "MORI_EP_LAUNCH_CONFIG_MODE": "AUTO" if options.tuned else None,
            "MORI_SHMEM_HEAP_SIZE": None if heap is None else f"{heap}G",
            "MORI_SHMEM_MODE": options.heap_mode,
            "MORI_RDMA_TC": kind,
            "MORI_RDMA_SL": level,
        }
    if transfer:
        found |= {"MORI_IO_TC": kind, "MORI_IO_SL": level}
        found["MORI_IO_QP_MAX_SEND_WR"] = options.send_queue
    return {name: str(value) for name, value in found.items() if value is not None}


def _of_sglang(
    process: ProcessSpec, pool: Pool, options: MoriOptions, experts: bool
) -> dict[str, str]:
    found = {"TORCH_NCCL_BLOCKING_WAIT": "1"} if options.blocking_wait else {}
    chunk = process.flags.get(CHUNK)
    tokens = options.dispatch_tokens
    larger = isinstance(chunk, int) and chunk > DISPATCH_DEFAULT and pool.role != DECODE
    if tokens is None and larger:
        tokens = int(str(chunk))
    if experts and tokens is not None:
        found[DISPATCH_TOKENS] = str(tokens)
    return found


def _leaves_host(request: AmendRequest) -> bool:
    """Whether RDMA is used: pools, or experts over several hosts."""
    layout = request.request.layout
    chip = request.request.hardware.chip
    per_host = None if chip is None else chip.accelerators_per_host
    return layout.disaggregated or (per_host is not None and layout.accelerators > per_host)


def _refuse(request: AmendRequest) -> None:
    raise UsageError(
        f"MoRI has nothing to send: {request.engine} neither spreads experts over "
        "data-parallel ranks here, nor sends KV cache from prefill to decode with it",
        hint="use --ep with --dp (or --attention-dp), or remove `--use mori`",
    )
