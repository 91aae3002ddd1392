"""What engines need on NVIDIA GPUs: variables that they and NCCL read, each with its reason.

Facts: TensorRT-LLM's source (tensorrt_llm/commands/serve.py and executor/worker.py, public copies);
NCCL's user guide, "Environment Variables"; DeepEP's NVSHMEM as InferenceX's
benchmarks/multi_node/llm-d/server.sh sets it; InferenceX 843c625 (2026-08-21); read 2026-12-01.
vLLM 0.32 and SGLang 0.5.23 set what they need on one host, and SGLang what a rack needs, themselves
(SGLang: entrypoints/engine.py).
"""

from __future__ import annotations

from tokenbench.api import (
    Amendment,
    AmendRequest,
    FrozenMap,
    LaunchPlan,
    ProcessSpec,
    option,
    options,
)

KIND = "nvidia"
_GC = "garbage collection pauses all requests; also off in InferenceX's recipes for TensorRT-LLM"
REASONS = {
    "TRTLLM_SERVER_DISABLE_GC": f"{_GC} (commit 843c625; TensorRT-LLM, commands/serve.py)",
    "TRTLLM_WORKER_DISABLE_GC": f"{_GC} (commit 843c625; TensorRT-LLM, executor/worker.py)",
    "NCCL_GRAPH_MIXING_SUPPORT": "by default NCCL orders its calls in and outside CUDA graphs, "
    "which costs time (NCCL user guide; 0 in InferenceX's recipes of TensorRT-LLM, commit 843c625)",
    "NCCL_SOCKET_IFNAME": "by default NCCL may choose an interface without a "
    "route (NCCL user guide; set in InferenceX's llm-d/server.sh, commit 843c625)",
    "GLOO_SOCKET_IFNAME": "torch's process groups on CPU use the host name's interface by default "
    "(InferenceX llm-d/server.sh, commit 843c625)",
    "NVSHMEM_BOOTSTRAP_UID_SOCK_IFNAME": "DeepEP's ranks connect on it; NVSHMEM's default is a "
    "guess (InferenceX llm-d/server.sh, commit 843c625)",
    "NCCL_IB_HCA": "NCCL's default is all adapters (NCCL user guide)",
    "NVSHMEM_HCA_LIST": "DeepEP sends tokens with these adapters; NVSHMEM's default is all "
    "(InferenceX llm-d/server.sh, commit 843c625)",
}
# Flags with which engines use DeepEP (vLLM 0.32, SGLang 0.5.23).
_EXPERTS = ("--all2all-backend", "--moe-a2a-backend")


@options
class NvidiaEnvironment:
    """Options of the amendment, with which engines run on NVIDIA GPUs."""

    garbage_collection: bool = option(
        default=False, help="TensorRT-LLM: keep Python's garbage collection on"
    )
    graph_mixing: bool = option(
        default=False, help="TensorRT-LLM: NCCL calls may overlap with those in CUDA graphs"
    )
    interface: str | None = option(
        default=None, help="several hosts: the network interface on which ranks connect (eth0, ...)"
    )
    adapters: tuple[str, ...] = option(
        default=(), help="several hosts: the RDMA adapters of NCCL and NVSHMEM (mlx5_0, ...)"
    )


def amend(request: AmendRequest, plan: LaunchPlan, options: NvidiaEnvironment) -> Amendment | None:
    """Variables of processes on NVIDIA GPUs; None if there are none."""
    found = {}
    for engine, process, _ in request.processes_on(KIND, plan):
        if process.accelerators:
            mine = {**_of_engine(engine, process, options), **_of_hosts(process, options)}
            if mine:
                found[process.role] = FrozenMap(mine)
    if not found:
        return None
    names = {name for variables in found.values() for name in variables}
    return Amendment(
        reason="what the engine needs on NVIDIA GPUs",
        reasons=FrozenMap({name: REASONS[name] for name in sorted(names)}),
        recipes_win=True,
        environment=FrozenMap(found),
    )


def _of_engine(engine: str, process: ProcessSpec, options: NvidiaEnvironment) -> dict[str, str]:
    found: dict[str, str] = {}
    if engine == "trtllm" and not options.garbage_collection:
        found |= dict.fromkeys(("TRTLLM_SERVER_DISABLE_GC", "TRTLLM_WORKER_DISABLE_GC"), "1")
    if engine == "trtllm" and not options.graph_mixing and process.accelerators > 1:
        found["NCCL_GRAPH_MIXING_SUPPORT"] = "0"
    return found


def _of_hosts(process: ProcessSpec, options: NvidiaEnvironment) -> dict[str, str]:
    """A replica over several hosts. Which interface and adapters depends on the cluster."""
    found: dict[str, str] = {}
    if process.ranks == 1:
        return found
    deepep = any(str(process.flags.get(flag, "")).startswith("deepep") for flag in _EXPERTS)
    if options.interface is not None:
        names = ["NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"]
        if deepep:
            names.append("NVSHMEM_BOOTSTRAP_UID_SOCK_IFNAME")
        found |= dict.fromkeys(names, options.interface)
    if options.adapters:
        found["NCCL_IB_HCA"] = ",".join(options.adapters)
        if deepep:
            found["NVSHMEM_HCA_LIST"] = ",".join(options.adapters)
    return found
