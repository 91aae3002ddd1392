"""The engine `sglang`. Facts: SGLang 0.5.23, its source and its server on CPU, 2026-12-01."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    PREFILL,
    Counters,
    Dialect,
    EndpointSpec,
    Engine,
    EngineRequest,
    FileSpec,
    FrozenMap,
    LaunchPlan,
    LogMessages,
    MetricsPage,
    Pool,
    PortBlock,
    ProcessSpec,
    ServerClient,
    UsageError,
    counters_of_pools,
    installed_version,
    interpreter_path,
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
from .grammar import grammar
from .parallel import hosts, ranks
from .speculation import is_synthetic
from .transfer import BOOTSTRAP, ROUTER, check_pools, check_used, has_router, router

if TYPE_CHECKING:
    from .options import SglangOptions

_FACTS = (
    *("attention_backend", "kv_cache_dtype", "page_size", "disable_radix_cache"),
    *("chunked_prefill_size", "mem_fraction_static", "speculative_algorithm"),
)


class Sglang(Engine):
    """One SGLang server, or several of them, for prefill and for decode or alike, behind SGLang's
    router. A server is one process that starts a scheduler for each rank of its host.
    """

    messages = LogMessages("tokenbench_engine_sglang")

    def __init__(self, options: SglangOptions) -> None:
        self._options = options

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """A process for each host of a server, and the router if there are several servers."""
        layout, options = request.layout, self._options
        check_pools(request, options)
        check_used(request, options, routed=has_router(layout))
        processes = [self._process(request, pool, server=True) for pool in layout.pools]
        endpoints = [_endpoint(pool.key) for pool in layout.pools]
        if has_router(layout):
            processes.append(router(self._python, request, options))
            endpoints.insert(0, _endpoint(ROUTER, metrics=False))
        return LaunchPlan(
            processes=tuple(processes),
            endpoints=tuple(endpoints),
            start_timeout_s=options.start_timeout_s,
            # Only whole pages of the KV cache are sent from prefill to decode.
            first_prompt_tokens=2 * (options.block_size or 1) + 1 if layout.disaggregated else 1,
            speculation=options.speculation,
        )

    def worker(self, request: EngineRequest, role: str) -> ProcessSpec:
        """The process of one pool without the flags of the HTTP server, which the orchestrator has
        itself.
        """
        check_used(request, self._options, routed=False)
        return self._process(request, request.layout.pool(role), server=False)

    @property
    def _python(self) -> str:
        return interpreter_path(self._options.python)

    def _process(self, request: EngineRequest, pool: Pool, *, server: bool) -> ProcessSpec:
        options = self._options
        asked = attrs.evolve(request, hardware=pool.hardware or request.hardware)
        found = ranks(pool.topology, asked.architecture, asked.model)
        spread = hosts(found, asked.hardware.chip)
        # Only the form of attention DP depends on it.
        version = self._planned() if found.attention_dp > 1 else None
        flags = model_flags(asked, options, found, pool, hosts=spread, version=version)
        if server:
            flags = server_flags(asked, options) | flags
        return ProcessSpec(
            role=pool.key,
            argv=(self._python, "-m", "sglang.launch_server", "--model-path", "{weights}"),
            flags=FrozenMap({name: value for name, value in flags.items() if value is not None}),
            grammar=grammar(),
            environment=FrozenMap(environment(asked, options)),
            files=self._files() if server else (),
            ports=(
                *(("http",) if server else ()),
                *((BOOTSTRAP,) if pool.role == PREFILL else ()),
                *(
                    (PortBlock(name=DIST, count=DIST_PORTS),)
                    if needs_meeting_port(found, spread)
                    else ()
                ),
            ),
            replicas=pool.replicas,
            ranks=spread,
            accelerators=0 if asked.hardware.kind == CPU else found.count,
            ready="http://{host}:{port:http}/health" if server else None,
        )

    def _files(self) -> tuple[FileSpec, ...]:
        path = self._options.chat_template_file
        if path is None:
            return ()
        return (FileSpec.read(TEMPLATE, path, "chat template"),)

    def dialect(self, request: EngineRequest) -> Dialect:
        """Completions first: they accept token ids, so lengths are exact. The router accepts texts
        only (sglang-router 0.3.2: HTTP 422), and does not pass on that usage is to come with each
        chunk.
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
            for number in _servers(server)
        )

    def synthetic_acceptance(self, plan: LaunchPlan) -> bool:
        """By SGLang's variable, whoever set it."""
        return is_synthetic(plan)

    def planned_version(self) -> str | None:
        """The version that the options name, or that of the interpreter's environment."""
        named = self._options.version
        return self._named(named or installed_version(self._python, "sglang"))

    def _planned(self) -> str | None:
        try:
            return self._options.version or installed_version(self._python, "sglang")
        except UsageError:  # planned_version() reports it.
            return None

    def version(self, server: ServerClient) -> str | None:
        """What the server's page of itself says."""
        return self._named(_info(server).get("version"))

    def _named(self, version: object) -> str | None:
        """The version as results have it. One with synthetic acceptance is not SGLang as it is."""
        length = self._options.synthetic_acceptance_length
        mark = "" if length is None else f" (synthetic acceptance {length:g})"
        return None if version is None else f"sglang {version}{mark}"

    def facts(self, server: ServerClient) -> FrozenMap[str]:
        """What SGLang decided where the plan left it open, and whether acceptance is real."""
        facts: dict[str, str] = {}
        listed = server.get("/v1/models", endpoint=_servers(server)[0]).data().get("data")
        if isinstance(listed, list) and listed and isinstance(listed[0], dict):
            facts["max_model_len"] = str(listed[0].get("max_model_len"))
        info = _info(server)
        facts |= {name: str(info[name]) for name in _FACTS if info.get(name) is not None}
        if self._options.speculation != "none":
            length = self._options.synthetic_acceptance_length
            facts["acceptance"] = "real" if length is None else f"synthetic {length:g}"
        return FrozenMap(facts)

    def reset_cache(self, server: ServerClient) -> bool | None:
        """Empty the radix cache of all servers. SGLang refuses while a request runs."""
        replies = [server.post("/flush_cache", endpoint=number) for number in _servers(server)]
        return all(reply.status == 200 for reply in replies)

    def counters(self, pages: Sequence[MetricsPage]) -> Counters:
        """The metrics of SGLang."""
        return counters_of_pools(pages, counters)


def _endpoint(role: str, *, metrics: bool = True) -> EndpointSpec:
    """One of every process of the role."""
    return EndpointSpec(
        role=role, url="http://{host}:{port:http}", metrics_path="/metrics" if metrics else None
    )


def _all(server: ServerClient) -> list[int]:
    """The numbers of the endpoints that are SGLang's, not the router's."""
    return [number for number, at in enumerate(server.endpoints) if at.role != ROUTER]


def _servers(server: ServerClient) -> list[int]:
    """Those that answer requests: on further hosts a server has only health and metrics."""
    return [number for number in _all(server) if server.endpoints[number].rank == 0]


def _info(server: ServerClient) -> dict[str, Any]:
    first = _servers(server)[0]
    # The older name is that of versions before 0.5.23.
    found = server.get("/server_info", endpoint=first).data()
    return found or server.get("/get_server_info", endpoint=first).data()
