"""The engine `llmd`. Facts: llm-d-router v0.10.0, read 2026-12-01; it never ran here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    DECODE,
    SERVER,
    Counters,
    Diagnosis,
    Dialect,
    Endpoint,
    EndpointSpec,
    Engine,
    EngineRequest,
    FrozenMap,
    LaunchPlan,
    Layout,
    LogMessages,
    MetricsPage,
    PluginContext,
    Pool,
    ProcessSpec,
    Reply,
    ServerClient,
    UsageError,
    server_url,
)

from .gateway import GATEWAY, gateway
from .router import endpoint_picker, sidecar, sidecar_of

if TYPE_CHECKING:
    from .options import LlmdOptions

_WORKER = "vllm"
# The largest block size that vLLM uses.
_LARGEST_BLOCK = 128


class Llmd(Engine):
    """Envoy and the endpoint picker in front of vLLM's servers. If disaggregated, each decode
    server also has a sidecar.
    """

    messages = LogMessages("tokenbench_engine_llmd")

    def __init__(self, options: LlmdOptions, context: PluginContext) -> None:
        self._options = options
        self._context = context

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """The servers of each pool, their sidecars, the endpoint picker and Envoy."""
        pools = request.layout.pools
        if self._options.worker_options and all(pool.engine is not None for pool in pools):
            raise UsageError(
                "worker_options has no effect: every pool names its engine",
                hint="remove it, or move the options to the pools",
            )
        plans = request.layout.each(lambda pool: self._alone(request, pool))
        return LaunchPlan(
            processes=(
                *(
                    _server(plan.processes[0], pool, request)
                    for plan, pool in zip(plans, pools, strict=True)
                ),
                *(sidecar(pool, request, self._options) for pool in pools if pool.role == DECODE),
                endpoint_picker(request, self._options),
                gateway(self._options),
            ),
            endpoints=(
                EndpointSpec(role=GATEWAY, url=server_url(f"{GATEWAY}.0"), metrics_path=None),
                *(endpoint for pool in pools for endpoint in _endpoints(pool)),
            ),
            start_timeout_s=self._options.start_timeout_s,
            first_prompt_tokens=_first_prompt(request),
            wraps=FrozenMap({pool.key: _WORKER for pool in pools}),
            speculation=plans[-1].speculation,
        )

    def _engine(self, pool: Pool | None = None) -> Engine:
        """The engine vllm, with the options of a pool.

        Raises:
            UsageError: the pool names another engine, or vllm is not installed.
        """
        own = pool is not None and pool.engine is not None
        if own and pool is not None and pool.engine != _WORKER:
            raise UsageError(
                f"the pool {pool.key!r} names the engine {pool.engine!r}: llm-d is planned only "
                "with vLLM",
                hint="use the engine vllm, or name no engine",
            )
        given: Mapping[str, Any] = (
            pool.engine_options if own and pool is not None else self._options.worker_values()
        )
        python = {} if self._options.python is None else {"python": self._options.python}
        return self._context.engine(_WORKER, FrozenMap({**python, **given}))

    def _alone(self, request: EngineRequest, pool: Pool) -> LaunchPlan:
        """The plan of vLLM for one server of a pool."""
        one = attrs.evolve(pool, replicas=1, engine=None, engine_options=FrozenMap())
        return self._engine(pool).plan(attrs.evolve(request, layout=Layout(pools=(one,))))

    def dialect(self, request: EngineRequest) -> Dialect:
        """The dialect of vLLM: the picker and the sidecar forward unknown fields."""
        return Dialect(
            codecs=(COMPLETIONS, CHAT),
            token_id_prompts=True,
            ignore_eos=True,
            min_tokens=True,
            continuous_usage=True,
            seed=True,
            done_event=True,
        )

    def ready(self, server: ServerClient) -> bool:
        """Whether every server is ready; Envoy and the picker start after them. Unlike /health, a
        sidecar forwards this page to its server.
        """
        workers = _Workers(server)
        return all(
            workers.get("/v1/models", endpoint=number).status == 200
            for number in range(len(workers.endpoints))
        )

    def synthetic_acceptance(self, plan: LaunchPlan) -> bool:
        """Read from the settings of the servers."""
        return self._engine().synthetic_acceptance(plan)

    def planned_version(self) -> str | None:
        """The version of vLLM; llm-d's programs do not report theirs."""
        return _named(self._engine().planned_version())

    def version(self, server: ServerClient) -> str | None:
        """The versions of vLLM that the servers report."""
        return _named(self._engine().version(_Workers(server)))

    def facts(self, server: ServerClient) -> FrozenMap[str]:
        """The facts of the first server."""
        return self._engine().facts(_Workers(server))

    def quiescent(self, server: ServerClient) -> bool | None:
        """No request is running or waiting on any server."""
        return self._engine().quiescent(_Workers(server))

    def reset_cache(self, server: ServerClient) -> bool | None:
        """Empty the prefix caches of all servers."""
        return self._engine().reset_cache(_Workers(server))

    def counters(self, pages: Sequence[MetricsPage]) -> Counters:
        """The servers' counters; vLLM's plugin knows which server counts what."""
        return self._engine().counters(pages)

    def diagnose(self, log: str) -> Diagnosis | None:
        """The messages of llm-d's programs, then those of vLLM."""
        return super().diagnose(log) or self._engine().diagnose(log)

    def phase(self, log: str) -> str | None:
        """The phase of a vLLM server; the other programs start immediately."""
        return self._engine().phase(log)


def _transfer(pool: Pool) -> FrozenMap[str]:
    role = "kv_consumer" if pool.role == DECODE else "kv_producer"
    return FrozenMap({"kv_connector": "NixlConnector", "kv_role": role})


class _Workers:
    """The deployment without its first endpoint, Envoy, if there are others."""

    def __init__(self, server: ServerClient) -> None:
        self._server = server
        self._first = min(1, len(server.endpoints) - 1)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return self._server.endpoints[self._first :]

    def get(self, path: str, *, endpoint: int = 0) -> Reply:
        return self._server.get(path, endpoint=endpoint + self._first)

    def post(self, path: str, json: object = None, *, endpoint: int = 0) -> Reply:
        return self._server.post(path, json, endpoint=endpoint + self._first)


def _endpoints(pool: Pool) -> Sequence[EndpointSpec]:
    """Endpoints for a pool's counters. Decode servers are reached through their sidecars, which
    forward the request.
    """
    if pool.role != DECODE:
        return [EndpointSpec(role=pool.key, url=server_url())]
    places = (f"{sidecar_of(pool)}.{index}" for index in range(pool.replicas))
    return [EndpointSpec(role=pool.key, url=server_url(place)) for place in places]


def _server(process: ProcessSpec, pool: Pool, request: EngineRequest) -> ProcessSpec:
    """A pool's servers. Only its sidecar connects to a decode server, over localhost.

    Raises:
        UsageError: another connector than NIXL is set.
    """
    flags = dict(process.flags)
    transfer = flags.get("--kv-transfer-config")
    if pool.role != SERVER and isinstance(transfer, FrozenMap) and transfer != _transfer(pool):
        raise UsageError(
            f"the pool {pool.key!r} sends KV cache with {transfer.get('kv_connector')}, but "
            "llm-d's sidecar supports only NIXL here: it takes one bootstrap port for all prefill "
            "workers (llm-d-router v0.10.0, read 2026-12-01)",
            hint="remove kv_connector",
        )
    ready = process.ready
    if pool.role == DECODE:
        flags["--host"], ready = "127.0.0.1", None
    if request.layout.disaggregated:
        # A decode server also reports tokens that prefill computed as cached.
        flags.pop("--enable-prompt-tokens-details", None)
    return attrs.evolve(process, flags=FrozenMap(flags), replicas=pool.replicas, ready=ready)


def _first_prompt(request: EngineRequest) -> int:
    """More than two blocks of KV cache, so that some are sent from prefill to decode."""
    if not request.layout.disaggregated:
        return 1
    wanted, context = 2 * _LARGEST_BLOCK + 1, request.needs.context_tokens
    # One token is generated.
    return wanted if context is None else max(1, min(wanted, context - 1))


def _named(version: str | None) -> str | None:
    return None if version is None else f"llm-d ({version})"
