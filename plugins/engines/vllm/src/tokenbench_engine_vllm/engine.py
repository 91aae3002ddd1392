"""The engine `vllm`. Facts: vLLM 0.32, its source and its server on CPU, read and run 2026-11."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    Counters,
    Dialect,
    EndpointSpec,
    Engine,
    EngineRequest,
    FileSpec,
    FrozenMap,
    LaunchPlan,
    Layout,
    LogMessages,
    MetricsPage,
    Pool,
    ProcessSpec,
    ServerClient,
    UsageError,
    check_own_pools,
    counters_of_pools,
    installed_version,
    interpreter_path,
    metrics_page,
)

from .chips import adapted, build_environment, check_build, seeds
from .command import CPU, DP_PORT, MASTER_PORT, TEMPLATE, environment, model_flags, server_flags
from .counters import counters
from .grammar import grammar
from .parallel import hosts, ranks
from .sizing import check_chip
from .speculation import is_synthetic
from .transfer import ROUTER, check_used, first_prompt_tokens, router, transfer_ports

if TYPE_CHECKING:
    from .options import VllmOptions

_MODULE = "vllm.entrypoints.cli.main"
_NOT_FOUND = 404
_CACHE_FACTS = ("block_size", "cache_dtype", "enable_prefix_caching", "num_gpu_blocks")


class Vllm(Engine):
    """One vLLM server, or servers for prefill and for decode behind vLLM's router. A server is an
    API server and one worker for each accelerator.
    """

    messages = LogMessages("tokenbench_engine_vllm")

    def __init__(self, options: VllmOptions) -> None:
        self._options = options

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """A process for each server, which starts all of its ranks."""
        layout = request.layout
        check_own_pools(layout, "vllm")
        check_used(request, self._options, routed=layout.disaggregated)
        servers = tuple(self._process(request, pool, server=True) for pool in layout.pools)
        options = self._options
        if not layout.disaggregated:
            _check_alone(layout)
            return LaunchPlan(
                processes=servers,
                start_timeout_s=options.start_timeout_s,
                speculation=options.speculation,
            )
        return LaunchPlan(
            processes=(*servers, router(self._python, request, options)),
            endpoints=(_endpoint(ROUTER, metrics=False), *(_endpoint(p.key) for p in layout.pools)),
            start_timeout_s=options.start_timeout_s,
            first_prompt_tokens=first_prompt_tokens(layout.pools, options),
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
        spread = hosts(found, asked.hardware.chip, wrapped=not server)
        check_chip(asked, options, found)
        check_build(asked, options, found, pool, spread)
        flags = model_flags(asked, options, found, role=pool.role, hosts=spread)
        flags = adapted(flags, asked, options, found, pool)
        if server:
            flags = server_flags(asked, options) | flags
        return ProcessSpec(
            role=pool.key,
            argv=(self._python, "-m", _MODULE, "serve", "{weights}"),
            flags=FrozenMap({name: value for name, value in flags.items() if value is not None}),
            grammar=grammar(),
            environment=FrozenMap(
                environment(asked, options, found, pool.role) | build_environment(asked, found)
            ),
            files=self._files() if server else (),
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

    def _files(self) -> tuple[FileSpec, ...]:
        path = self._options.chat_template_file
        if path is None:
            return ()
        return (FileSpec.read(TEMPLATE, path, "chat template"),)

    def dialect(self, request: EngineRequest) -> Dialect:
        """Completions first: they accept token ids, so lengths are exact."""
        return Dialect(
            codecs=(COMPLETIONS, CHAT),
            token_id_prompts=True,
            ignore_eos=True,
            min_tokens=True,
            continuous_usage=True,
            seed=seeds(request.hardware.kind),
            done_event=True,
            # vllm-router 0.1.17, read from its binary 2026-12; consistent_hash uses it.
            affinity_header="x-session-id" if request.layout.disaggregated else None,
        )

    def synthetic_acceptance(self, plan: LaunchPlan) -> bool:
        """By the speculative configuration, whoever set it."""
        return is_synthetic(plan)

    def planned_version(self) -> str | None:
        """The version of vLLM in the interpreter's environment."""
        return self._named(installed_version(self._python, "vllm"))

    def version(self, server: ServerClient) -> str | None:
        """What `/version` reports. It leaves out the build (``+cpu``)."""
        return self._named(_data(server, "/version").get("version"))

    def _named(self, version: object) -> str | None:
        """The version as results have it. One with synthetic acceptance is not vLLM as it is."""
        length = self._options.synthetic_acceptance_length
        mark = "" if length is None else f" (synthetic acceptance {length:g})"
        return None if version is None else f"vllm {version}{mark}"

    def facts(self, server: ServerClient) -> FrozenMap[str]:
        """Context and KV cache, and whether the acceptance of drafts is real."""
        facts: dict[str, str] = {}
        listed = _data(server, "/v1/models").get("data")
        if isinstance(listed, list) and listed and isinstance(listed[0], dict):
            facts["max_model_len"] = str(listed[0].get("max_model_len"))
        for one in metrics_page(server, _first(server)).series("vllm:cache_config_info")[:1]:
            facts |= {name: one.labels[name] for name in _CACHE_FACTS if name in one.labels}
        if self._options.speculation != "none":
            length = self._options.synthetic_acceptance_length
            facts["acceptance"] = "real" if length is None else f"synthetic {length:g}"
        return FrozenMap(facts)

    def reset_cache(self, server: ServerClient) -> bool | None:
        """Empty the prefix cache of all servers and ranks, with the tiers of connectors. None where
        a server does not have the page: it was started without ``VLLM_SERVER_DEV_MODE=1``.

        vLLM 0.32 answers success although LMCache's connector has no `reset_cache`: False then.
        """
        done = True
        for number in _servers(server):
            # Also what a connector keeps outside: in host memory, in a store.
            reply = server.post("/reset_prefix_cache?reset_external=true", endpoint=number)
            if reply.status == _NOT_FOUND:
                return None
            # Blocks of running requests cannot be freed: {"success": false}.
            success = reply.data().get("success", True) is True
            done = done and reply.status == 200 and success
        return done and self._options.kv_offload != "lmcache"

    def counters(self, pages: Sequence[MetricsPage]) -> Counters:
        """The metrics of vLLM."""
        return counters_of_pools(pages, counters)


def _check_alone(layout: Layout) -> None:
    servers = sum(pool.replicas for pool in layout.pools)
    if servers > 1:
        raise UsageError(
            f"{servers} replicas of vLLM need a router in front of them",
            hint="use dp for several ranks behind one server, or --engine dynamo",
        )


def _endpoint(role: str, *, metrics: bool = True) -> EndpointSpec:
    """One of every process of the role."""
    return EndpointSpec(
        role=role, url="http://{host}:{port:http}", metrics_path="/metrics" if metrics else None
    )


def _servers(server: ServerClient) -> list[int]:
    """The numbers of the endpoints that are vLLM's, not the router's."""
    return [number for number, at in enumerate(server.endpoints) if at.role != ROUTER]


def _first(server: ServerClient) -> int:
    return _servers(server)[0]


def _data(server: ServerClient, path: str) -> dict[str, Any]:
    return server.get(path, endpoint=_first(server)).data()
