"""The engine `vllm`. Facts: vLLM 0.32, its source and its server on CPU, read and run 2026-11."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    Counters,
    Dialect,
    EngineRequest,
    FileSpec,
    FlagGrammar,
    FrozenMap,
    LaunchPlan,
    LogMessages,
    MetricsPage,
    Pool,
    ProcessSpec,
    ServerClient,
    ServerEngine,
    check_one_server,
    check_own_pools,
    counters_of_pools,
    metrics_page,
)

from .command import CPU, DP_PORT, MASTER_PORT, TEMPLATE, environment, model_flags, server_flags
from .counters import counters
from .options import VllmOptions
from .parallel import hosts, ranks
from .sizing import check_chip
from .speculation import is_synthetic
from .transfer import check_used, first_prompt_tokens, router, transfer_ports

_PACKAGE = "tokenbench_engine_vllm"
_MODULE = "vllm.entrypoints.cli.main"
_NOT_FOUND = 404
_CACHE_FACTS = ("block_size", "cache_dtype", "enable_prefix_caching", "num_gpu_blocks")


class Vllm(ServerEngine[VllmOptions]):
    """One vLLM server, or servers for prefill and for decode behind vLLM's router. A server is an
    API server and one worker for each accelerator.
    """

    name = distribution = "vllm"
    messages = LogMessages(_PACKAGE)

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """A process for each server, which starts all of its ranks."""
        layout, options = request.layout, self.options
        check_own_pools(layout, self.name)
        check_used(request, options, routed=layout.disaggregated)
        processes = [*layout.each(lambda pool: self._process(request, pool, server=True))]
        if layout.disaggregated:
            processes.append(router(self.python, request, options))
        else:
            hint = "use dp for several ranks behind one server, or --engine dynamo"
            check_one_server(layout, "vLLM", hint=hint)
        return LaunchPlan(
            processes=tuple(processes),
            endpoints=self.endpoints(layout, routed=layout.disaggregated),
            start_timeout_s=options.start_timeout_s,
            first_prompt_tokens=first_prompt_tokens(layout.pools, options),
            speculation=options.speculation,
        )

    def worker(self, request: EngineRequest, role: str) -> ProcessSpec:
        """The process of one pool without the flags of the HTTP server, which the orchestrator
        replaces.
        """
        check_used(request, self.options, routed=False)
        return self._process(request, request.layout.pool(role), server=False)

    def _process(self, request: EngineRequest, pool: Pool, *, server: bool) -> ProcessSpec:
        options, asked = self.options, request.on(pool)
        found = ranks(pool.topology, asked.architecture, asked.model)
        spread = hosts(found, asked.hardware.chip, wrapped=not server)
        check_chip(asked, options, found)
        flags = model_flags(asked, options, found, role=pool.role, hosts=spread)
        files: tuple[FileSpec, ...] = ()
        if server:
            flags = server_flags(asked, options) | flags
            files = FileSpec.given(TEMPLATE, options.chat_template_file, "chat template")
        return ProcessSpec(
            role=pool.key,
            argv=(self.python, "-m", _MODULE, "serve", "{weights}"),
            flags=FrozenMap(flags),
            # vLLM takes `_` for `-`.
            grammar=FlagGrammar.of_package(_PACKAGE, underscores=True),
            environment=FrozenMap(environment(asked, options, found, pool.role)),
            files=files,
            ports=(
                *(("http",) if server else ()),
                *((DP_PORT,) if found.dp > 1 else ()),
                *((MASTER_PORT,) if spread > 1 else ()),
                *transfer_ports(pool.role, options, found),
            ),
            replicas=pool.replicas,
            ranks=spread,
            accelerators=0 if asked.hardware.kind == CPU else found.count,
            ready="http://{host}:{port:http}/health" if server else None,
        )

    def dialect(self, request: EngineRequest) -> Dialect:
        """Completions first: they accept token ids, so lengths are exact."""
        return Dialect(
            codecs=(COMPLETIONS, CHAT),
            token_id_prompts=True,
            ignore_eos=True,
            min_tokens=True,
            continuous_usage=True,
            # vLLM's build for TPUs refuses them: JAX has no seed for each request.
            seed=request.hardware.kind != "tpu",
            done_event=True,
            # vllm-router 0.1.17, read from its binary 2026-12; consistent_hash uses it.
            affinity_header="x-session-id" if request.layout.disaggregated else None,
        )

    def synthetic_acceptance(self, plan: LaunchPlan) -> bool:
        """Read from the speculative configuration, whichever layer set it."""
        return is_synthetic(plan)

    def facts(self, server: ServerClient) -> FrozenMap[str]:
        """Context and KV cache, and whether the acceptance of drafts is real."""
        facts = super().facts(server)
        page = metrics_page(server, self.servers(server)[0])
        for one in page.series("vllm:cache_config_info")[:1]:
            cache = {name: one.labels[name] for name in _CACHE_FACTS if name in one.labels}
            facts = facts.updated(cache)
        return facts

    def reset_cache(self, server: ServerClient) -> bool | None:
        """Empty the prefix cache of all servers and ranks, including the tiers of connectors. None
        if a server lacks the page: it runs without ``VLLM_SERVER_DEV_MODE=1``. False with LMCache:
        vLLM 0.32 reports success, but LMCache's connector has no `reset_cache`.
        """
        done = True
        for number in self.servers(server):
            # Includes what a connector keeps in host memory or in a store.
            reply = server.post("/reset_prefix_cache?reset_external=true", endpoint=number)
            if reply.status == _NOT_FOUND:
                return None
            # Blocks of running requests cannot be freed: {"success": false}.
            success = reply.data().get("success", True) is True
            done = done and reply.status == 200 and success
        return done and self.options.kv_offload != "lmcache"

    def counters(self, pages: Sequence[MetricsPage]) -> Counters:
        """The metrics of vLLM."""
        return counters_of_pools(pages, counters)
