"""What engines need on AMD GPUs: variables that they, AITER and RCCL read, each with its reason.

Facts: vLLM 0.32, envs.py; SGLang 0.5.23, environ.py and quick_all_reduce.py; ATOM ffdf3bb
(2026-08-22), docs/distributed_guide.md; InferenceX 843c625 (2026-08-21), benchmarks/single_node and
benchmarks/multi_node/amd_utils/env.sh; read 2026-12-01.
"""

from __future__ import annotations

from tokenbench.api import Amendment, AmendRequest, FrozenMap, LaunchPlan, option, options

KIND = "amd"
_REDUCE_REASON = (
    "all-reduce sends fewer bits, which rounds the sums; int4 in InferenceX's scripts for "
    "DeepSeek-R1 on MI355X (commit 843c625, 2026-08-21)"
)
REASONS = {
    "VLLM_ROCM_USE_AITER": "AMD's kernels (AITER), which vLLM 0.32 leaves off (envs.py); on in "
    "InferenceX's scripts of vLLM on MI300X to MI355X (commit 843c625, 2026-08-21)",
    "SGLANG_USE_AITER": "AMD's kernels (AITER), which SGLang 0.5.23 leaves off (environ.py); on in "
    "InferenceX's scripts of SGLang on MI300X to MI355X (commit 843c625, 2026-08-21)",
    "VLLM_ROCM_QUICK_REDUCE_QUANTIZATION": _REDUCE_REASON,
    "ROCM_QUICK_REDUCE_QUANTIZATION": _REDUCE_REASON,
    "AITER_QUICK_REDUCE_QUANTIZATION": _REDUCE_REASON,
    "HSA_NO_SCRATCH_RECLAIM": "MEC firmware before 177 cannot reclaim scratch memory of RCCL and "
    "crashes (InferenceX dsr1_fp8_mi300x.sh, commit 843c625, by ROCm 6.4.3's release notes)",
    "NCCL_SOCKET_IFNAME": "by default RCCL may choose an interface without a "
    "route (InferenceX amd_utils/env.sh, commit 843c625)",
    "GLOO_SOCKET_IFNAME": "torch's process groups on CPU use the host name's interface by default "
    "(InferenceX amd_utils/env.sh, commit 843c625)",
    "NCCL_IB_HCA": "RCCL's default is all adapters (InferenceX amd_utils/env.sh, commit 843c625)",
}
_AITER = {"vllm": "VLLM_ROCM_USE_AITER", "sglang": "SGLANG_USE_AITER"}
_REDUCE = {
    "vllm": "VLLM_ROCM_QUICK_REDUCE_QUANTIZATION",
    "sglang": "ROCM_QUICK_REDUCE_QUANTIZATION",
    "atom": "AITER_QUICK_REDUCE_QUANTIZATION",
}


@options
class AmdEnvironment:
    """Options of the amendment, with which engines run on AMD GPUs."""

    aiter: bool = option(default=True, help="vLLM and SGLang use AMD's kernels, AITER")
    quick_reduce: str | None = option(
        default=None,
        choices=("fp", "int8", "int6", "int4"),
        help="vLLM, SGLang, ATOM: precision of the all-reduce between the GPUs of a host; fp is "
        "exact, others round",
    )
    scratch_reclaim: bool = option(
        default=True, help="false for an MI300X whose MEC firmware is older than 177"
    )
    interface: str | None = option(
        default=None, help="several hosts: the network interface on which ranks connect (eth0, ...)"
    )
    adapters: tuple[str, ...] = option(
        default=(), help="several hosts: the RDMA adapters of RCCL (mlx5_0, ...)"
    )


def amend(request: AmendRequest, plan: LaunchPlan, options: AmdEnvironment) -> Amendment | None:
    """Variables of processes on AMD GPUs; None if there are none."""
    found = {}
    for engine, process, _ in request.processes_on(KIND, plan):
        if process.accelerators:
            several = process.accelerators > 1
            mine = _variables(engine, options, several=several, hosts=process.ranks)
            if mine:
                found[process.role] = FrozenMap(mine)
    if not found:
        return None
    names = {name for variables in found.values() for name in variables}
    return Amendment(
        reason="what the engine needs on AMD GPUs",
        reasons=FrozenMap({name: REASONS[name] for name in sorted(names)}),
        recipes_win=True,
        environment=FrozenMap(found),
    )


def _variables(
    engine: str, options: AmdEnvironment, *, several: bool, hosts: int
) -> dict[str, str]:
    found = {}
    if options.aiter and engine in _AITER:
        found[_AITER[engine]] = "1"
    if options.quick_reduce is not None and several and engine in _REDUCE:
        found[_REDUCE[engine]] = options.quick_reduce.upper()
    if not options.scratch_reclaim:
        found["HSA_NO_SCRATCH_RECLAIM"] = "1"
    if hosts > 1 and options.interface is not None:
        found |= dict.fromkeys(("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"), options.interface)
    if hosts > 1 and options.adapters:
        found["NCCL_IB_HCA"] = ",".join(options.adapters)
    return found
