"""The engine `llmd`. Facts: llm-d-router v0.10.0, read 2026-12-01; it never ran."""

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
# Of the block sizes that vLLM uses, the largest.
_LARGEST_BLOCK = 128


class Llmd(Engine):
    """Envoy and the endpoint picker before vLLM's servers; with prefill and decode apart, a sidecar
    beside each decode server.
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
                "worker_options: every pool names its engine, so nothing would use them",
                hint="leave them out, or give them to the pools",
            )
        plans = [self._alone(request, pool) for pool in pools]
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
                f"the pool {pool.key!r} names the engine {pool.engine!r}: llm-d is planned with "
                "servers of vLLM only",
                hint="name the engine vllm, or leave it out",
            )
        given: Mapping[str, Any] = (
            pool.engine_options if own and pool is not None else self._options.worker_values()
        )
        python = {} if self._options.python is None else {"python": self._options.python}
        return self._context.engine(_WORKER, FrozenMap({**python, **given}))

    def _alone(self, request: EngineRequest, pool: Pool) -> LaunchPlan:
        """What vLLM plans for one server of a pool."""
        one = attrs.evolve(pool, replicas=1, engine=None, engine_options=FrozenMap())
        return self._engine(pool).plan(attrs.evolve(request, layout=Layout(pools=(one,))))

    def dialect(self, request: EngineRequest) -> Dialect:
        """What vLLM takes: the picker and the sidecar pass on what they do not know."""
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
        """Every server is: Envoy and the picker started after them. A sidecar's /health is its own,
        this page is its server's.
        """
        workers = _Workers(server)
        return all(
            workers.get("/v1/models", endpoint=number).status == 200
            for number in range(len(workers.endpoints))
        )

    def synthetic_acceptance(self, plan: LaunchPlan) -> bool:
        """By the settings of the servers."""
        return self._engine().synthetic_acceptance(plan)

    def planned_version(self) -> str | None:
        """That of vLLM; llm-d's programs do not tell theirs."""
        return _named(self._engine().planned_version())

    def version(self, server: ServerClient) -> str | None:
        """The same, as the first server reports it."""
        return _named(self._engine().version(_Workers(server)))

    def facts(self, server: ServerClient) -> FrozenMap[str]:
        """Those of the first server."""
        return self._engine().facts(_Workers(server))

    def quiescent(self, server: ServerClient) -> bool | None:
        """No request is running or waiting on any server."""
        return self._engine().quiescent(_Workers(server))

    def reset_cache(self, server: ServerClient) -> bool | None:
        """Empty the prefix caches of all servers."""
        return self._engine().reset_cache(_Workers(server))

    def counters(self, pages: Sequence[MetricsPage]) -> Counters:
        """Those of the servers: vLLM's plugin knows which of them count what."""
        return self._engine().counters(pages)

    def diagnose(self, log: str) -> Diagnosis | None:
        """The messages of llm-d's programs, then those of vLLM."""
        return super().diagnose(log) or self._engine().diagnose(log)

    def phase(self, log: str) -> str | None:
        """What a server does; the other programs start at once."""
        return self._engine().phase(log)


def _transfer(pool: Pool) -> FrozenMap[str]:
    role = "kv_consumer" if pool.role == DECODE else "kv_producer"
    return FrozenMap({"kv_connector": "NixlConnector", "kv_role": role})


class _Workers:
    """A deployment without Envoy, which is the first endpoint, if there are others."""

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
    """Where a pool's servers are asked for their counters: those for decode through their sidecars,
    which pass on what is not theirs.
    """
    if pool.role != DECODE:
        return [EndpointSpec(role=pool.key, url=server_url())]
    places = (f"{sidecar_of(pool)}.{index}" for index in range(pool.replicas))
    return [EndpointSpec(role=pool.key, url=server_url(place)) for place in places]


def _server(process: ProcessSpec, pool: Pool, request: EngineRequest) -> ProcessSpec:
    """A pool's servers. Those for decode are reached by their sidecars only, as localhost.

    Raises:
        UsageError: prefill and decode are to talk by something else than NIXL.
    """
    flags = dict(process.flags)
    transfer = flags.get("--kv-transfer-config")
    if pool.role != SERVER and isinstance(transfer, FrozenMap) and transfer != _transfer(pool):
        raise UsageError(
            f"the pool {pool.key!r} sends its KV cache by {transfer.get('kv_connector')}: llm-d's "
            "sidecar is planned for NIXL only, because it takes one bootstrap port for all prefill "
            "workers (llm-d-router v0.10.0, read 2026-12-01)",
            hint="leave kv_connector out",
        )
    ready = process.ready
    if pool.role == DECODE:
        flags["--host"], ready = "127.0.0.1", None
    if request.layout.disaggregated:
        # Cached tokens that a decode server reports came from prefill, computed or not.
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
