"""One process of TensorRT-LLM: its program, flags, variables and file, and MPI over hosts."""

from __future__ import annotations

from typing import Any

import attrs

from tokenbench.api import (
    DECODE,
    PREFILL,
    EngineRequest,
    FileSpec,
    FlagValue,
    FrozenMap,
    Pool,
    ProcessSpec,
    check_memory,
    check_precision,
    parser_name,
    required_context,
)

from .config import FILE, llm_args
from .grammar import grammar
from .options import TrtllmOptions
from .parallel import check_topology, hosts

MODULE = "tensorrt_llm.commands.serve"
SYNTHETIC = "TLLM_SPEC_DECODE_FORCE_NUM_ACCEPTED_TOKENS"
_TEMPLATE = "chat-template.jinja"
_TITLE = "TensorRT-LLM"
_ROLES = {PREFILL: "CONTEXT", DECODE: "GENERATION"}
# What ranks on other hosts need of rank 0's environment, besides the plan's own variables: Open MPI
# forwards no others.
_FORWARDED = (
    *("PATH", "LD_LIBRARY_PATH", "HF_HOME", "CUDA_DEVICE_ORDER", "NCCL_CUMEM_ENABLE"),
    # What the hardware and other amendments set for TensorRT-LLM.
    *("TRTLLM_WORKER_DISABLE_GC", "NCCL_GRAPH_MIXING_SUPPORT", "NCCL_SOCKET_IFNAME"),
    *("GLOO_SOCKET_IFNAME", "NCCL_IB_HCA", "UCX_TLS", "UCX_NET_DEVICES"),
    "UCX_CUDA_IPC_ENABLE_MNNVL",
)


def process(
    request: EngineRequest, pool: Pool, options: TrtllmOptions, python: str, *, server: bool
) -> ProcessSpec:
    """The processes of a pool. `server`: with the HTTP server, which a wrapped worker has not."""
    asked = attrs.evolve(request, hardware=pool.hardware or request.hardware)
    topology, chip = pool.topology, asked.hardware.chip
    check_topology(topology, asked.architecture, asked.model)
    check_precision(asked, hint="another chip")
    check_memory(
        asked,
        ranks=topology.accelerators,
        replicated=1,
        # The fraction of the option is one of what weights leave.
        share=1.0,
        context=required_context(asked, options.context_tokens),
        kv_dtype=options.kv_cache_dtype,
    )
    spread, content = hosts(topology, chip), llm_args(asked, pool, options)
    flags: dict[str, FlagValue] = {"--config": f"{{file:{FILE}}}"}
    if server:
        flags = _server_flags(asked, pool, options) | flags
        content = content.updated(_metrics(options))
    variables = _environment(asked, options)
    return ProcessSpec(
        role=pool.key,
        argv=(python, "-m", MODULE, "serve", "{weights}"),
        flags=FrozenMap({name: value for name, value in flags.items() if value is not None}),
        grammar=grammar("serve"),
        environment=FrozenMap(variables),
        files=(FileSpec(name=FILE, content=content), *(_template(options) if server else ())),
        ports=("http",) if server else (),
        replicas=pool.replicas,
        ranks=spread,
        leader_only=spread > 1,
        wrap=_mpi(topology.accelerators, spread, tuple(variables), options) if spread > 1 else (),
        accelerators=topology.accelerators,
        ready="http://{host}:{port:http}/health" if server else None,
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
    return {
        "return_perf_metrics": True,
        # On by default in some versions.
        "enable_iter_perf_stats": options.iteration_metrics,
    }


def _environment(request: EngineRequest, options: TrtllmOptions) -> dict[str, str]:
    found = {
        "TRTLLM_NO_USAGE_STATS": "1",
        # A file of the current folder replaces no module.
        "PYTHONSAFEPATH": "1",
    }
    length = options.synthetic_acceptance_length
    if length is not None and not request.needs.real_acceptance:
        # It counts accepted drafts only, without the target model's own token.
        found[SYNTHETIC] = f"{length - 1:g}"
    return found


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


def _template(options: TrtllmOptions) -> tuple[FileSpec, ...]:
    path = options.chat_template_file
    if path is None:
        return ()
    return (FileSpec.read(_TEMPLATE, path, "chat template"),)
