"""One process of TensorRT-LLM: its program, flags, variables and file, and MPI over hosts."""

from __future__ import annotations

from typing import Any

from tokenbench.api import (
    DECODE,
    PREFILL,
    EngineRequest,
    FileSpec,
    FlagGrammar,
    FlagValue,
    FrozenMap,
    Pool,
    ProcessSpec,
    Topology,
    check_memory,
    check_precision,
    is_dense,
    parser_name,
    refuse_unused,
    required_context,
)

from .config import FILE, llm_args
from .options import TrtllmOptions
from .parallel import check_topology, hosts

PACKAGE, MODULE = "tokenbench_engine_trtllm", "tensorrt_llm.commands.serve"
SYNTHETIC = "TLLM_SPEC_DECODE_FORCE_NUM_ACCEPTED_TOKENS"
_TEMPLATE = "chat-template.jinja"
_TITLE = "TensorRT-LLM"
_ROLES = {PREFILL: "CONTEXT", DECODE: "GENERATION"}
# Variables of rank 0 that ranks on other hosts need. Open MPI forwards only these and the plan's.
_FORWARDED = (
    *("PATH", "LD_LIBRARY_PATH", "HF_HOME", "CUDA_DEVICE_ORDER", "NCCL_CUMEM_ENABLE"),
    # What the hardware and other amendments set for TensorRT-LLM.
    *("TRTLLM_WORKER_DISABLE_GC", "NCCL_GRAPH_MIXING_SUPPORT", "NCCL_SOCKET_IFNAME"),
    *("GLOO_SOCKET_IFNAME", "NCCL_IB_HCA", "UCX_TLS", "UCX_NET_DEVICES"),
    "UCX_CUDA_IPC_ENABLE_MNNVL",
)


_ENVIRONMENT = {
    "TRTLLM_NO_USAGE_STATS": "1",
    # No file of the current folder can shadow a module.
    "PYTHONSAFEPATH": "1",
}


def process(
    request: EngineRequest, pool: Pool, options: TrtllmOptions, python: str, *, server: bool
) -> ProcessSpec:
    """The processes of a pool. `server`: with the HTTP server; false for a wrapped worker."""
    asked, topology = request.on(pool), pool.topology
    _check(asked, topology, options)
    spread, content = hosts(topology, asked.hardware.chip), llm_args(asked, pool, options)
    flags: dict[str, FlagValue] = {"--config": f"{{file:{FILE}}}"}
    template: tuple[FileSpec, ...] = ()
    if server:
        flags = _server_flags(asked, pool, options) | flags
        content = content.updated(_metrics(options))
        template = FileSpec.given(_TEMPLATE, options.chat_template_file, "chat template")
    variables = _environment(asked, options)
    return ProcessSpec(
        role=pool.key,
        argv=(python, "-m", MODULE, "serve", "{weights}"),
        flags=FrozenMap(flags),
        grammar=FlagGrammar.of_package(PACKAGE, "surface.json", key="serve"),
        environment=FrozenMap(variables),
        files=(FileSpec(name=FILE, content=content), *template),
        ports=("http",) if server else (),
        replicas=pool.replicas,
        ranks=spread,
        leader_only=spread > 1,
        wrap=_mpi(topology.accelerators, spread, tuple(variables), options) if spread > 1 else (),
        accelerators=topology.accelerators,
        ready="http://{host}:{port:http}/health" if server else None,
    )


def _check(request: EngineRequest, topology: Topology, options: TrtllmOptions) -> None:
    check_topology(topology, request.architecture, request.model)
    if is_dense(request.architecture):
        refuse_unused(options, "moe_backend", because=f"{request.model} has no experts")
    check_precision(request, hint="another chip")
    check_memory(
        request,
        ranks=topology.accelerators,
        replicated=1,
        # The option is a fraction of the memory left by the weights.
        share=1.0,
        context=required_context(request, options.context_tokens),
        kv_dtype=options.kv_cache_dtype,
    )


def _server_flags(
    request: EngineRequest, pool: Pool, options: TrtllmOptions
) -> dict[str, FlagValue]:
    return {
        "--host": "{host}",
        "--port": "{port:http}",
        "--served_model_name": request.served_name,
        "--server_role": _ROLES.get(pool.role),
        "--chat_template": f"{{file:{_TEMPLATE}}}" if options.chat_template_file else None,
        "--tool_parser": parser_name(request, options.tool_call_parser, "tool", _TITLE),
        "--reasoning_parser": parser_name(request, options.reasoning_parser, "reasoning", _TITLE),
    }


def _metrics(options: TrtllmOptions) -> dict[str, Any]:
    """Fields that make the server count (openai_server.py)."""
    if not options.request_metrics:
        return {}
    # On by default in some versions.
    return {
        "return_perf_metrics": True,
        "enable_iter_perf_stats": options.iteration_metrics,
    }


def _environment(request: EngineRequest, options: TrtllmOptions) -> dict[str, str]:
    length = options.synthetic_acceptance_length
    if length is None or request.needs.real_acceptance:
        return _ENVIRONMENT
    # It counts only accepted drafts, without the target model's token.
    return {**_ENVIRONMENT, SYNTHETIC: f"{length - 1:g}"}


def _mpi(
    ranks: int, spread: int, variables: tuple[str, ...], options: TrtllmOptions
) -> tuple[str, ...]:
    """Rank 0 runs the server; the script makes the others wait for its work
    (llmapi/trtllm-llmapi-launch). Flags: Open MPI's.
    """
    exported = [word for name in (*_FORWARDED, *variables) for word in ("-x", name)]
    return (
        options.mpirun,
        *("--allow-run-as-root", "--oversubscribe", "--host", "{hosts}"),
        *("--map-by", f"ppr:{ranks // spread}:node", "-n", str(ranks)),
        *exported,
        "trtllm-llmapi-launch",
    )
