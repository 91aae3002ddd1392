"""The engine `dynamo`. Facts: Dynamo 1.6.1, run 2026-11-30 with mockers and with vLLM 0.31."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    PREFILL,
    Counters,
    Diagnosis,
    Dialect,
    EndpointSpec,
    Engine,
    EngineRequest,
    FlagValue,
    FrozenMap,
    LaunchPlan,
    LogMessages,
    MetricsPage,
    PluginContext,
    ProcessSpec,
    ServerClient,
    installed_version,
    interpreter_path,
    metrics_page,
    server_url,
)

from . import runtime
from .counters import FRONTEND, counters
from .grammar import frontend_grammar
from .workers import Workers

if TYPE_CHECKING:
    from .options import DynamoOptions

# The largest default block size of a worker (vLLM on CPUs).
_LARGEST_BLOCK = 128


class Dynamo(Engine):
    """A frontend, which routes, and one process for each worker."""

    messages = LogMessages("tokenbench_engine_dynamo")

    def __init__(self, options: DynamoOptions, context: PluginContext) -> None:
        self._options = options
        self._workers = Workers(options, context, self._python)

    @property
    def _python(self) -> str:
        return interpreter_path(self._options.python)

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """The frontend, the workers of each pool, and etcd if it is used."""
        pools = request.layout.pools
        self._workers.check_pools(pools)
        workers = request.layout.each(lambda pool: self._workers.process(request, pool))
        wraps = {pool.key: self._workers.engine_name(pool) for pool in pools}
        return LaunchPlan(
            processes=(
                *runtime.discovery_servers(self._options),
                self._frontend(request),
                *workers,
            ),
            endpoints=(
                EndpointSpec(role=FRONTEND, url=server_url(f"{FRONTEND}.0")),
                *(_system_endpoint(pool.key) for pool in pools),
            ),
            start_timeout_s=self._options.start_timeout_s,
            first_prompt_tokens=self._first_prompt(request),
            # Of the pools that generate.
            speculation=next(
                self._workers.speculation(process, pool)
                for process, pool in zip(workers, pools, strict=True)
                if pool.role != PREFILL
            ),
            wraps=FrozenMap(
                {key: name for key, name in wraps.items() if self._workers.is_wrapped(name)}
            ),
        )

    def _frontend(self, request: EngineRequest) -> ProcessSpec:
        options = self._options
        flags: dict[str, FlagValue] = {
            "--http-host": "{host}",
            "--http-port": "{port:http}",
            "--router-mode": options.router_mode,
            **runtime.flags(options),
        }
        if options.router_mode == "kv" and not request.needs.prefix_caching:
            # The cache is off, so equal prompts need not go to one worker.
            flags["--router-assume-kv-reuse"] = False
        return ProcessSpec(
            role=FRONTEND,
            argv=(self._python, "-m", "dynamo.frontend"),
            flags=FrozenMap(flags),
            grammar=frontend_grammar(),
            environment=FrozenMap(runtime.environment(options, request.weights)),
            after=runtime.after(options),
            ready="http://{host}:{port:http}/live",
        )

    def _first_prompt(self, request: EngineRequest) -> int:
        """More than two blocks of KV cache, so that some are sent from prefill to decode."""
        if not request.layout.disaggregated:
            return 1
        wanted = 2 * (self._options.block_size or _LARGEST_BLOCK) + 1
        context = request.needs.context_tokens
        # One token is generated.
        return wanted if context is None else max(1, min(wanted, context - 1))

    def dialect(self, request: EngineRequest) -> Dialect:
        """Completions first: they accept token ids, so lengths are exact."""
        return Dialect(
            codecs=(COMPLETIONS, CHAT),
            token_id_prompts=True,
            ignore_eos=True,
            min_tokens=True,
            continuous_usage=True,
            seed=True,
            done_event=True,
            # The frontend's binary, ai-dynamo 1.6.1, read 2026-12; it keeps a session on one worker
            # with --router-session-affinity-ttl-secs.
            affinity_header="x-dynamo-session-id",
        )

    def ready(self, server: ServerClient) -> bool:
        """The frontend lists an instance of every planned worker.

        Its /health answers 200 as soon as it listens, and before a worker registered, a request is
        answered with 404.
        """
        found = server.get("/health").data().get("instances")
        instances = found if isinstance(found, list) else []
        workers = [one for one in instances if _is_worker(one)]
        registered = [
            at
            for at in server.endpoints
            if at.role != FRONTEND and (at.rank == 0 or self._workers.every_host)
        ]
        return len(workers) >= max(1, len(registered))

    def planned_version(self) -> str | None:
        """The version of Dynamo in the interpreter's environment, and that of its workers."""
        own = installed_version(self._python, "ai-dynamo")
        engine = self._workers.engine()
        workers = None if engine is None else engine.planned_version()
        if own is None:
            return None
        return f"dynamo {own}" if workers is None else f"dynamo {own} ({workers})"

    def version(self, server: ServerClient) -> str | None:
        """From the frontend's API description. Workers do not report their version."""
        info = server.get("/openapi.json").data().get("info")
        version = info.get("version") if isinstance(info, dict) else None
        return None if version is None else f"dynamo {version}"

    def facts(self, server: ServerClient) -> FrozenMap[str]:
        """The KV cache and batch sizes that workers registered."""
        page = metrics_page(server)
        facts: dict[str, str] = {}
        for name in _MODEL_FACTS:
            value = page.max(f"dynamo_frontend_model_{name}")
            if value is not None:
                facts[name] = f"{value:g}"
        return FrozenMap(facts)

    def quiescent(self, server: ServerClient) -> bool | None:
        """The frontend has no request in flight or waiting."""
        found = counters((metrics_page(server),))
        if found.running is None or found.waiting is None:
            return None
        return found.running == 0 and found.waiting == 0

    def counters(self, pages: Sequence[MetricsPage]) -> Counters:
        """The metrics of the frontend and of the workers' engine. No engine reads the pages of
        several: then workers have counters only each for itself.
        """
        named = {page.engine for page in pages if page.role != FRONTEND}
        if len(named) != 1:
            return counters([page for page in pages if page.role == FRONTEND])
        return counters(pages, self._workers.reader(named.pop()))

    def diagnose(self, log: str) -> Diagnosis | None:
        """Dynamo's own messages, then those of the workers' engine."""
        engine = self._workers.engine()
        return super().diagnose(log) or (None if engine is None else engine.diagnose(log))

    def phase(self, log: str) -> str | None:
        """Dynamo's own phases, then those of the workers' engine."""
        engine = self._workers.engine()
        return super().phase(log) or (None if engine is None else engine.phase(log))


_MODEL_FACTS = ("kv_cache_block_size", "total_kv_blocks", "max_num_seqs", "max_num_batched_tokens")


def _system_endpoint(key: str) -> EndpointSpec:
    """The metrics page of each process of a pool."""
    return EndpointSpec(role=key, url=f"http://{{host}}:{{port:{runtime.SYSTEM_PORT}}}")


def _is_worker(instance: object) -> bool:
    return isinstance(instance, dict) and instance.get("endpoint") == "generate"
