"""The engine `atom`. Facts: ROCm/ATOM's source at the tag v0.1.5; it never ran here."""

from __future__ import annotations

from pathlib import Path

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    Dialect,
    EngineRequest,
    FlagGrammar,
    FlagValue,
    FrozenMap,
    LaunchPlan,
    LogMessages,
    Pool,
    ProcessSpec,
    ServerEngine,
    UsageError,
    Weights,
    check_memory,
    check_precision,
    drafting_weights,
    is_dense,
    option_flags,
    refuse_unused,
    required_context,
    served_context,
)

from .options import AtomOptions
from .parallel import check_topology

_PACKAGE, _MODULE = "tokenbench_engine_atom", "atom.entrypoints.openai_server"
# Default of --gpu-memory-utilization.
_UTILIZATION = 0.9
INTERNAL = "engine"
"""The port on which ranks connect (`--port`). The HTTP server's is `--server-port`."""
_ENVIRONMENT = FrozenMap(
    {
        # InferenceX@843c625 of 2026-08-22, dsr1_fp8_mi355x_atom.sh and others.
        "OMP_NUM_THREADS": "1",
        # recipes/DeepSeek-R1.md: by default it logs each kernel.
        "AITER_LOG_LEVEL": "WARNING",
        # No file of the current folder can shadow a module.
        "PYTHONSAFEPATH": "1",
    }
)


class Atom(ServerEngine[AtomOptions]):
    """One server, which starts all of its ranks."""

    name = distribution = "atom"
    metrics_path = None
    messages = LogMessages(_PACKAGE)

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """A process for the server."""
        (pool, *more) = request.layout.pools
        if more or pool.replicas > 1 or pool.engine is not None:
            raise UsageError(
                "the engine atom plans one server: it has no router",
                hint="use dp for several ranks behind one server",
            )
        return LaunchPlan(
            processes=(self._process(request, pool),),
            endpoints=self.endpoints(request.layout),
            start_timeout_s=self.options.start_timeout_s,
            served_name=_served_name(request.weights),
            speculation=self.options.speculation,
        )

    def _process(self, request: EngineRequest, pool: Pool) -> ProcessSpec:
        asked, options, topology = request.on(pool), self.options, pool.topology
        check_topology(topology, asked.architecture, asked.model, asked.hardware.chip)
        check_precision(asked, hint="another chip")
        if is_dense(asked.architecture):
            refuse_unused(options, "all2all_backend", because=f"{asked.model} has no experts")
        check_memory(
            asked,
            # Without attention DP each data-parallel rank has all weights.
            ranks=topology.tp * (topology.dp if topology.attention_dp > 1 else 1),
            replicated=1,
            share=options.gpu_memory_utilization or _UTILIZATION,
            context=required_context(asked, options.context_tokens),
            kv_dtype=options.kv_cache_dtype,
        )
        flags = {
            "--host": "{host}",
            "--server-port": "{port:http}",
            "--port": f"{{port:{INTERNAL}}}",
            **self._model_flags(asked, pool),
        }
        return ProcessSpec(
            role=pool.key,
            argv=(self.python, "-m", _MODULE, "--model", "{weights}"),
            flags=FrozenMap(flags),
            grammar=FlagGrammar.of_package(_PACKAGE),
            environment=_ENVIRONMENT,
            ports=("http", INTERNAL),
            accelerators=topology.tp * topology.dp,
            ready="http://{host}:{port:http}/health",
        )

    def _model_flags(self, request: EngineRequest, pool: Pool) -> dict[str, FlagValue]:
        options, topology = self.options, pool.topology
        sizes = options.cudagraph_capture_sizes
        draft = drafting_weights(request, options.speculation, options.speculative_model)
        return {
            **option_flags(options),
            "--tensor-parallel-size": topology.tp,
            "--data-parallel-size": topology.dp if topology.dp > 1 else None,
            "--enable-dp-attention": True if topology.attention_dp > 1 else None,
            "--enable-expert-parallel": True if topology.ep > 1 else None,
            "--max-model-len": served_context(request, options.context_tokens),
            "--max-num-seqs": options.max_num_seqs or request.needs.concurrency,
            "--enable_prefix_caching": request.needs.prefix_caching,
            "--method": None if options.speculation == "none" else options.speculation,
            # For MTP, ATOM ignores this and drafts with --model (model_engine/arg_utils.py).
            "--draft-model": draft if options.speculation == "eagle3" else None,
            "--cudagraph-capture-sizes": f"[{','.join(map(str, sizes))}]" if sizes else None,
        }

    def dialect(self, request: EngineRequest) -> Dialect:
        """Prompts are text, and every stream has usage (entrypoints/openai/protocol.py). Unknown
        fields are ignored; `ignore_eos` makes lengths exact.
        """
        return Dialect(codecs=(COMPLETIONS, CHAT), ignore_eos=True, done_event=True)


def _served_name(weights: Weights | None) -> str | None:
    """Requests must name the value of `--model` (api_server.py, `validate_model`)."""
    scheme, _, rest = ("", "", "") if weights is None else weights.source.partition(":")
    if scheme == "file":
        return str(Path(rest).expanduser())
    return rest if scheme == "hub" else None
