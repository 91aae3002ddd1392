"""Requests, engines and recorded answers for the tests of the engine `dynamo`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenbench_engine_dynamo.plugin import DynamoOptions, bench_register_engines

from tokenbench.api import (
    Architecture,
    Counters,
    Endpoint,
    Engine,
    EngineRequest,
    FileSpec,
    FlagGrammar,
    FrozenMap,
    HardwareFacts,
    LaunchPlan,
    Layout,
    MetricsPage,
    PluginContext,
    Pool,
    ProcessSpec,
    Reply,
    ServingNeeds,
    Topology,
    UsageError,
    Weights,
    parse_metrics,
)

CAPTURED = Path(__file__).parent / "captured"


class Wrapped(Engine):
    """An engine as core gives it, which remembers its options."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.name = name
        self.options = dict(options)

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """Not used: the engine is wrapped."""
        raise NotImplementedError

    def worker(self, request: EngineRequest, role: str) -> ProcessSpec:
        """Two ranks for decode, one otherwise."""
        pool = request.layout.pool(role)
        if self.name == "trtllm":
            return _by_file(pool)
        return ProcessSpec(
            role=role,
            argv=("python-of-the-engine", "serve"),
            flags=FrozenMap({"--max-num-seqs": 16, "--enable-prefix-caching": False}),
            environment=FrozenMap({"ENGINE": "1"}),
            grammar=FlagGrammar(
                negations=FrozenMap({"--no-enable-prefix-caching": "--enable-prefix-caching"})
            ),
            ports=("dp",),
            replicas=pool.replicas,
            ranks=2 if pool.role == "decode" else 1,
            accelerators=pool.topology.accelerators,
        )

    def planned_version(self) -> str | None:
        """A version."""
        return "vllm 0.31.0"

    def counters(self, pages: Any) -> Counters:
        """As vLLM's; another engine drafts more."""
        return Counters(
            prompt_tokens=sum(page.sum("vllm:prompt_tokens_total") or 0.0 for page in pages),
            drafts=2.0 if self.name == "vllm" else 3.0,
            kv_usage=0.5,
        )


def _by_file(pool: Pool) -> ProcessSpec:
    """A worker with all settings in a file, which starts its own ranks on other hosts."""
    drafts = FrozenMap({"decoding_type": "MTP", "max_draft_len": 3})
    content = FrozenMap({"tensor_parallel_size": 8, "speculative_config": drafts})
    return ProcessSpec(
        role=pool.key,
        argv=("python-of-the-engine", "serve"),
        flags=FrozenMap({"--config": "{file:args.yaml}"}),
        files=(FileSpec(name="args.yaml", content=content),),
        ports=(),
        wrap=("mpirun",),
        leader_only=True,
        ranks=2,
        replicas=pool.replicas,
        accelerators=pool.topology.accelerators,
    )


def context(*known: str) -> PluginContext:
    """Core, with these engines installed."""

    def engine(name: str, options: Mapping[str, Any] = FrozenMap(), /) -> Engine:
        if name not in known:
            raise UsageError(f"no engine {name!r} is installed", hint=f"installed: {known}")
        return Wrapped(name, options)

    return PluginContext(engine=engine)


def engine(*known: str, **options: Any) -> Engine:
    """The engine with these options."""
    (spec,) = bench_register_engines()
    made = spec.factory(DynamoOptions(**options), context(*(known or ("vllm",))))
    assert isinstance(made, Engine)
    return made


def request(
    *pools: Pool, needs: ServingNeeds | None = None, source: str = "file:/models/m"
) -> EngineRequest:
    """A request for these pools, by default one of the role `server`."""
    layout = Layout(pools=pools or (Pool(),))
    return EngineRequest(
        model="m",
        served_name="name",
        weights=Weights(precision="bf16", format="hf", source=source, revision="abc"),
        architecture=Architecture(),
        hardware=HardwareFacts(kind="nvidia", sku="h200", count=layout.accelerators),
        layout=layout,
        needs=needs or ServingNeeds(context_tokens=2048, concurrency=16),
    )


def xpyd(prefill: int, decode: int, **more: Any) -> tuple[Pool, Pool]:
    """A pool for prefill and one for decode."""
    return (
        Pool(role="prefill", replicas=prefill, **more),
        Pool(role="decode", replicas=decode, **more),
    )


def processes(found: EngineRequest, *known: str, **options: Any) -> dict[str, ProcessSpec]:
    """The planned processes by role."""
    return {one.role: one for one in engine(*known, **options).plan(found).processes}


def mockers(found: EngineRequest, **options: Any) -> dict[str, ProcessSpec]:
    """The same with mockers as workers."""
    return processes(found, worker="mocker", **options)


def text(name: str) -> str:
    """A captured file."""
    return (CAPTURED / name).read_text(encoding="utf-8")


def page(name: str, role: str, index: int = 0) -> MetricsPage:
    """A captured metrics page."""
    return parse_metrics(text(f"{name}.txt"), role=role, index=index)


class Recorded:
    """A server that answers as the real ones did; other paths do not exist."""

    def __init__(self, workers: int, **pages: str) -> None:
        self._pages = {f"/{name}": content for name, content in pages.items()}
        roles = ["frontend", *["worker"] * workers]
        self.endpoints = tuple(
            Endpoint(role=role, index=0, url="http://127.0.0.1:1") for role in roles
        )

    def get(self, path: str, *, endpoint: int = 0) -> Reply:
        """The page."""
        found = self._pages.get(path)
        return Reply(status=404, text="") if found is None else Reply(status=200, text=found)

    def post(self, path: str, json: object = None, *, endpoint: int = 0) -> Reply:
        """The answer."""
        return self.get(path)


WIDE = Topology(dp=32, ep=32)
