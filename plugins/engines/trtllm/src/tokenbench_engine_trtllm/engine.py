"""The engine `trtllm`. Facts: TensorRT-LLM's source (surface.json names commits and date); it never
ran here.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    DECODE,
    PREFILL,
    Counters,
    Dialect,
    EndpointSpec,
    EngineRequest,
    FrozenMap,
    LaunchPlan,
    LogMessages,
    MetricsPage,
    ProcessSpec,
    ServerClient,
    ServerEngine,
    check_one_server,
    check_own_pools,
    counters_of_pools,
    metrics_page,
    server_url,
)

from .command import PACKAGE, SYNTHETIC, process
from .counters import counters
from .options import TrtllmOptions
from .router import check_used, router

# `/metrics` is a JSON queue of iterations. Reading it removes them from the counters.
_METRICS = "/prometheus/metrics"
_INFOS = ("model", "parallel", "speculative", "kv_cache")
_UNTOLD = ("model_name", "engine_type", "pid")
# More than two blocks of the KV cache, so that some are sent from prefill to decode.
_BLOCK = 32


class Trtllm(ServerEngine[TrtllmOptions]):
    """One TensorRT-LLM server, or disaggregated servers behind TensorRT-LLM's router."""

    name, distribution = "trtllm", "tensorrt_llm"
    messages = LogMessages(PACKAGE)

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """A process for each server, which starts all of its ranks."""
        layout, options = request.layout, self.options
        check_own_pools(layout, self.name)
        check_used(layout, options)
        servers = [
            *layout.each(lambda pool: process(request, pool, options, self.python, server=True))
        ]
        if layout.disaggregated:
            servers.append(router(self.python, layout, options))
        else:
            hint = "use attention_dp for several ranks behind one server, or --engine dynamo"
            check_one_server(layout, "TensorRT-LLM", hint=hint)
        apart = any(pool.role in (PREFILL, DECODE) for pool in layout.pools)
        return LaunchPlan(
            processes=tuple(servers),
            endpoints=self.endpoints(layout, routed=layout.disaggregated),
            start_timeout_s=options.start_timeout_s,
            first_prompt_tokens=2 * (options.block_size or _BLOCK) + 1 if apart else 1,
            speculation=options.speculation,
        )

    def worker(self, request: EngineRequest, role: str) -> ProcessSpec:
        """The process of one pool without the flags of the HTTP server. All of its settings are in
        its options file, which the flag ``--config`` names.
        """
        check_used(request.layout, self.options)
        pool = request.layout.pool(role)
        return process(request, pool, self.options, self.python, server=False)

    def endpoint(self, role: str) -> EndpointSpec:
        """An endpoint of every process of the role."""
        page = _METRICS if self.options.request_metrics else None
        return EndpointSpec(role=role, url=server_url(), metrics_path=page)

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
        """Read from the variable, whichever layer set it."""
        return any(SYNTHETIC in one.environment for one in plan.processes)

    def facts(self, server: ServerClient) -> FrozenMap[str]:
        """Configuration that the server reports, and whether acceptance is real."""
        page = metrics_page(server, self.servers(server)[0], _METRICS)
        facts = super().facts(server)
        for name in _INFOS:
            for one in page.series(f"trtllm_{name}_config_info")[:1]:
                told = {k: text for k, text in one.labels.items() if k not in _UNTOLD}
                facts = facts.updated({f"{name}.{k}": text for k, text in told.items()})
        return facts

    def counters(self, pages: Sequence[MetricsPage]) -> Counters:
        """The metrics of TensorRT-LLM."""
        return counters_of_pools(pages, counters)
