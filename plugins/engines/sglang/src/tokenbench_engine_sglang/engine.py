"""The engine `sglang`. Facts: SGLang 0.5.23, its source and its server on CPU, 2026-12-01."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    PREFILL,
    ROUTER,
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
    PortBlock,
    ProcessSpec,
    ServerClient,
    ServerEngine,
    UsageError,
    counters_of_pools,
    installed_version,
)

from .command import (
    CPU,
    DIST,
    DIST_PORTS,
    TEMPLATE,
    environment,
    model_flags,
    needs_meeting_port,
    server_flags,
)
from .counters import counters
from .options import SglangOptions
from .parallel import hosts, ranks
from .speculation import is_synthetic
from .transfer import BOOTSTRAP, PACKAGE, check_pools, check_used, has_router, router

_FACTS = (
    *("attention_backend", "kv_cache_dtype", "page_size", "disable_radix_cache"),
    *("chunked_prefill_size", "mem_fraction_static", "speculative_algorithm"),
)
_MEETING = PortBlock(name=DIST, count=DIST_PORTS)


class Sglang(ServerEngine[SglangOptions]):
    """One SGLang server, or several behind SGLang's router, aggregated or disaggregated. A server
    is one process, which starts a scheduler for each rank on its host.
    """

    name = distribution = "sglang"
    messages = LogMessages(PACKAGE)

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """A process for each host of a server, and the router if there are several servers."""
        layout, options = request.layout, self.options
        routed = has_router(layout)
        check_pools(request, options)
        check_used(request, options, routed=routed)
        processes = [*layout.each(lambda pool: self._process(request, pool, server=True))]
        if routed:
            processes.append(router(self.python, request, options))
        return LaunchPlan(
            processes=tuple(processes),
            endpoints=self.endpoints(layout, routed=routed),
            start_timeout_s=options.start_timeout_s,
            # Prefill sends decode only whole pages of KV cache.
            first_prompt_tokens=2 * (options.block_size or 1) + 1 if layout.disaggregated else 1,
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
        spread = hosts(found, asked.hardware.chip)
        # Only the flags of attention DP depend on it.
        version = self._planned() if found.attention_dp > 1 else None
        flags = model_flags(asked, options, found, pool, hosts=spread, version=version)
        files: tuple[FileSpec, ...] = ()
        if server:
            flags = server_flags(asked, options) | flags
            files = FileSpec.given(TEMPLATE, options.chat_template_file, "chat template")
        return ProcessSpec(
            role=pool.key,
            argv=(self.python, "-m", "sglang.launch_server", "--model-path", "{weights}"),
            flags=FrozenMap(flags),
            grammar=FlagGrammar.of_package(PACKAGE),
            environment=FrozenMap(environment(asked, options)),
            files=files,
            ports=(
                *(("http",) if server else ()),
                *((BOOTSTRAP,) if pool.role == PREFILL else ()),
                *((_MEETING,) if needs_meeting_port(found, spread) else ()),
            ),
            replicas=pool.replicas,
            ranks=spread,
            accelerators=0 if asked.hardware.kind == CPU else found.count,
            ready="http://{host}:{port:http}/health" if server else None,
        )

    def dialect(self, request: EngineRequest) -> Dialect:
        """Completions first: they accept token ids, so lengths are exact. The router accepts only
        text (sglang-router 0.3.2: HTTP 422), and drops the request for usage in each chunk.
        """
        direct = not has_router(request.layout)
        return Dialect(
            codecs=(COMPLETIONS, CHAT),
            token_id_prompts=direct,
            ignore_eos=True,
            min_tokens=True,
            continuous_usage=direct,
            seed=True,
            done_event=True,
        )

    def ready(self, server: ServerClient) -> bool:
        """Every server generates a token, and the router knows its servers."""
        if server.endpoints[0].role == ROUTER and server.get("/readiness").status != 200:
            return False
        return all(
            server.get("/health_generate", endpoint=number).status == 200
            for number in self.servers(server)
        )

    def servers(self, server: ServerClient) -> list[int]:
        """Servers that answer requests. Further hosts of a server only have health and metrics."""
        return [number for number in super().servers(server) if not server.endpoints[number].rank]

    def synthetic_acceptance(self, plan: LaunchPlan) -> bool:
        """Read from SGLang's variable, whichever layer set it."""
        return is_synthetic(plan)

    def planned_version(self) -> str | None:
        """The version that the options name, or that of the interpreter's environment."""
        named = self.options.version
        return super().planned_version() if named is None else self.named(named)

    def _planned(self) -> str | None:
        try:
            return self.options.version or installed_version(self.python, self.distribution)
        except UsageError:  # planned_version() reports it.
            return None

    def server_version(self, server: ServerClient, number: int) -> object:
        """From the server's info page."""
        return self._info(server, number).get("version")

    def facts(self, server: ServerClient) -> FrozenMap[str]:
        """Settings that SGLang chose itself, and whether acceptance is real."""
        info = self._info(server, self.servers(server)[0])
        decided = {name: str(info[name]) for name in _FACTS if info.get(name) is not None}
        return super().facts(server).updated(decided)

    def _info(self, server: ServerClient, number: int) -> dict[str, Any]:
        # Versions before 0.5.23 use the older name.
        found = server.get("/server_info", endpoint=number).data()
        return found or server.get("/get_server_info", endpoint=number).data()

    def reset_cache(self, server: ServerClient) -> bool | None:
        """Empty the radix cache of all servers. SGLang refuses while a request runs."""
        replies = [server.post("/flush_cache", endpoint=number) for number in self.servers(server)]
        return all(reply.status == 200 for reply in replies)

    def counters(self, pages: Sequence[MetricsPage]) -> Counters:
        """The metrics of SGLang."""
        return counters_of_pools(pages, counters)
