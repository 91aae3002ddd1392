"""The engine `atom`. Facts: ROCm/ATOM's source at the tag v0.1.5; nothing of it ran here."""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    Dialect,
    EndpointSpec,
    Engine,
    EngineRequest,
    FlagGrammar,
    FlagValue,
    FrozenMap,
    LaunchPlan,
    LogMessages,
    Pool,
    ProcessSpec,
    UsageError,
    Weights,
    check_memory,
    check_precision,
    drafting_weights,
    installed_version,
    interpreter_path,
    required_context,
)

from .parallel import check_topology

if TYPE_CHECKING:
    from .options import AtomOptions

_MODULE = "atom.entrypoints.openai_server"
# Default of --gpu-memory-utilization.
_UTILIZATION = 0.9
# Enough for the readiness check and a short eval.
_LEAST_CONTEXT = 512
INTERNAL = "engine"
"""The port of `--port`, on which its ranks meet; the HTTP server has another flag."""


@functools.cache
def captured() -> dict[str, Any]:
    """What ATOM's parser accepts (tools/capture_atom_flags.py)."""
    text = files(__package__).joinpath("flags.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


@functools.cache
def grammar() -> FlagGrammar:
    """Other names, negative forms and JSON objects. ATOM takes no ``_`` for ``-``."""
    flags = captured()["flags"]
    objects = (flag["names"][0] for flag in flags if flag.get("type") == "json")
    return FlagGrammar.of(flags, json=objects)


class Atom(Engine):
    """One server, which starts all of its ranks."""

    messages = LogMessages("tokenbench_engine_atom")

    def __init__(self, options: AtomOptions) -> None:
        self._options = options

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
            endpoints=(
                EndpointSpec(role=pool.key, url="http://{host}:{port:http}", metrics_path=None),
            ),
            start_timeout_s=self._options.start_timeout_s,
            served_name=_served_name(request.weights),
            speculation=self._options.speculation,
        )

    @property
    def _python(self) -> str:
        return interpreter_path(self._options.python)

    def _process(self, request: EngineRequest, pool: Pool) -> ProcessSpec:
        asked = attrs.evolve(request, hardware=pool.hardware or request.hardware)
        options, topology = self._options, pool.topology
        check_topology(topology, asked.architecture, asked.model, asked.hardware.chip)
        check_precision(asked, hint="another chip")
        context = required_context(asked, options.context_tokens)
        check_memory(
            asked,
            # Without attention DP every data-parallel rank has all weights.
            ranks=topology.tp * (topology.dp if topology.attention_dp > 1 else 1),
            replicated=1,
            share=options.gpu_memory_utilization or _UTILIZATION,
            context=context,
            kv_dtype=options.kv_cache_dtype,
        )
        flags = {
            "--host": "{host}",
            "--server-port": "{port:http}",
            "--port": f"{{port:{INTERNAL}}}",
            **self._model_flags(asked, pool, context),
        }
        return ProcessSpec(
            role=pool.key,
            argv=(self._python, "-m", _MODULE, "--model", "{weights}"),
            flags=FrozenMap({name: value for name, value in flags.items() if value is not None}),
            grammar=grammar(),
            environment=FrozenMap(
                {
                    # InferenceX@843c625 of 2026-08-22, dsr1_fp8_mi355x_atom.sh and others.
                    "OMP_NUM_THREADS": "1",
                    # recipes/DeepSeek-R1.md: it logs each kernel otherwise.
                    "AITER_LOG_LEVEL": "WARNING",
                    # A file of the current folder replaces no module.
                    "PYTHONSAFEPATH": "1",
                }
            ),
            ports=("http", INTERNAL),
            accelerators=topology.tp * topology.dp,
            ready="http://{host}:{port:http}/health",
        )

    def _model_flags(
        self, request: EngineRequest, pool: Pool, context: int | None
    ) -> dict[str, FlagValue]:
        options, topology = self._options, pool.topology
        sizes = options.cudagraph_capture_sizes
        drafts = options.speculation != "none"
        draft = drafting_weights(request, options.speculation, options.speculative_model)
        return {
            "--trust-remote-code": True if options.trust_remote_code else None,
            "--tensor-parallel-size": topology.tp,
            "--data-parallel-size": topology.dp if topology.dp > 1 else None,
            "--enable-dp-attention": True if topology.attention_dp > 1 else None,
            "--enable-expert-parallel": True if topology.ep > 1 else None,
            "--all2all-backend": options.all2all_backend,
            "--enable-tbo": options.two_batch_overlap,
            "--max-model-len": _max_model_len(request, context),
            "--max-num-seqs": options.max_num_seqs or request.needs.concurrency,
            "--max-num-batched-tokens": options.max_num_batched_tokens,
            "--gpu-memory-utilization": options.gpu_memory_utilization,
            "--kv_cache_dtype": options.kv_cache_dtype,
            "--block-size": options.block_size,
            "--enable_prefix_caching": request.needs.prefix_caching,
            "--enable_chunked_prefill": options.chunked_prefill,
            "--method": options.speculation if drafts else None,
            "--num-speculative-tokens": options.speculative_tokens,
            # MTP drafts with --model, whatever this says (model_engine/arg_utils.py).
            "--draft-model": draft if options.speculation == "eagle3" else None,
            "--enforce-eager": True if options.enforce_eager else None,
            "--level": options.compile_level,
            "--cudagraph-capture-sizes": f"[{','.join(map(str, sizes))}]" if sizes else None,
            "--load_dummy": True if options.dummy_weights else None,
        }

    def dialect(self, request: EngineRequest) -> Dialect:
        """Prompts are text, and usage comes with every stream (entrypoints/openai/protocol.py).
        Fields that it does not know are ignored, so lengths are exact by ignore_eos alone.
        """
        return Dialect(codecs=(COMPLETIONS, CHAT), ignore_eos=True, done_event=True)

    def planned_version(self) -> str | None:
        """The version of ATOM in the interpreter's environment; the server reports none."""
        version = installed_version(self._python, "atom")
        return None if version is None else f"atom {version}"


def _served_name(weights: Weights | None) -> str | None:
    """The model of requests must be the value of `--model` (api_server.py, `validate_model`)."""
    scheme, _, rest = ("", "", "") if weights is None else weights.source.partition(":")
    if scheme == "file":
        return str(Path(rest).expanduser())
    return rest if scheme == "hub" else None


def _max_model_len(request: EngineRequest, context: int | None) -> int | None:
    if context is None:
        return None
    limit = request.architecture.context_tokens
    return max(context, _LEAST_CONTEXT if limit is None else min(_LEAST_CONTEXT, limit))
