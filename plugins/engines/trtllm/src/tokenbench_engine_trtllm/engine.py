"""The engine `trtllm`. Facts: TensorRT-LLM's source (surface.json names commits and date); nothing
of it ran here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    DECODE,
    PREFILL,
    Counters,
    Dialect,
    EndpointSpec,
    Engine,
    EngineRequest,
    FrozenMap,
    LaunchPlan,
    LogMessages,
    MetricsPage,
    Pool,
    ProcessSpec,
    ServerClient,
    counters_of_pools,
    installed_version,
    interpreter_path,
    metrics_page,
)

from .command import SYNTHETIC, process
from .counters import counters
from .router import ROUTER, check_pools, check_used, router

if TYPE_CHECKING:
    from .options import TrtllmOptions

# `/metrics` is a JSON queue of iterations, and reading it takes them from the counters.
_METRICS = "/prometheus/metrics"
_INFOS = ("model", "parallel", "speculative", "kv_cache")
# More than two blocks of the KV cache, so that some are sent from prefill to decode.
_BLOCK = 32


class Trtllm(Engine):
    """One server of TensorRT-LLM, or servers for prefill and for decode behind its own router."""

    messages = LogMessages("tokenbench_engine_trtllm")

    def __init__(self, options: TrtllmOptions) -> None:
        self._options = options

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """A process for each server, which starts all of its ranks."""
        layout, options = request.layout, self._options
        check_pools(layout)
        check_used(layout, options)
        servers = tuple(self._process(request, pool, server=True) for pool in layout.pools)
        endpoints = tuple(self._endpoint(pool.key) for pool in layout.pools)
        if layout.disaggregated:
            servers = (*servers, router(self._python, layout, options))
            endpoints = (_router_endpoint(), *endpoints)
        apart = any(pool.role in (PREFILL, DECODE) for pool in layout.pools)
        return LaunchPlan(
            processes=servers,
            endpoints=endpoints,
            start_timeout_s=options.start_timeout_s,
            first_prompt_tokens=2 * (options.block_size or _BLOCK) + 1 if apart else 1,
            speculation=options.speculation,
        )

    def worker(self, request: EngineRequest, role: str) -> ProcessSpec:
        """The process of one pool without the flags of the HTTP server. All of its settings are in
        its options file, which the flag ``--config`` names.
        """
        check_used(request.layout, self._options)
        return self._process(request, request.layout.pool(role), server=False)

    @property
    def _python(self) -> str:
        return interpreter_path(self._options.python)

    def _process(self, request: EngineRequest, pool: Pool, *, server: bool) -> ProcessSpec:
        return process(request, pool, self._options, self._python, server=server)

    def _endpoint(self, role: str) -> EndpointSpec:
        """One of every process of the role."""
        page = _METRICS if self._options.request_metrics else None
        return EndpointSpec(role=role, url="http://{host}:{port:http}", metrics_path=page)

    def dialect(self, request: EngineRequest) -> Dialect:
        """Completions first: they accept token ids, so lengths are exact (openai_protocol.py)."""
        return Dialect(
            codecs=(COMPLETIONS, CHAT),
            token_id_prompts=True,
            ignore_eos=True,
            min_tokens=True,
            continuous_usage=True,
            seed=True,
            done_event=True,
        )

    def synthetic_acceptance(self, plan: LaunchPlan) -> bool:
        """By the variable, whoever set it."""
        return any(SYNTHETIC in one.environment for one in plan.processes)

    def planned_version(self) -> str | None:
        """The version of TensorRT-LLM in the interpreter's environment."""
        return self._named(installed_version(self._python, "tensorrt_llm"))

    def version(self, server: ServerClient) -> str | None:
        """What `/version` reports."""
        return self._named(server.get("/version").data().get("version"))

    def _named(self, version: object) -> str | None:
        """The version as results have it. One with synthetic acceptance is not the engine's own."""
        length = self._options.synthetic_acceptance_length
        mark = "" if length is None else f" (synthetic acceptance {length:g})"
        return None if version is None else f"trtllm {version}{mark}"

    def facts(self, server: ServerClient) -> FrozenMap[str]:
        """What the server's page says of its configuration."""
        facts: dict[str, str] = {}
        for number, at in enumerate(server.endpoints):
            if at.role == ROUTER or facts:
                continue
            page = metrics_page(server, number, _METRICS)
            for name in _INFOS:
                for one in page.series(f"trtllm_{name}_config_info")[:1]:
                    facts |= {
                        f"{name}.{label}": text
                        for label, text in one.labels.items()
                        if label not in ("model_name", "engine_type", "pid")
                    }
        return FrozenMap(facts)

    def counters(self, pages: Sequence[MetricsPage]) -> Counters:
        """The metrics of TensorRT-LLM."""
        return counters_of_pools(pages, counters)


def _router_endpoint() -> EndpointSpec:
    return EndpointSpec(role=ROUTER, url="http://{host}:{port:http}", metrics_path=None)
