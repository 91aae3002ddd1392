"""Requests and engines for the tests of the engine `llmd`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenbench_engine_llmd.plugin import LlmdOptions, bench_register_engines

from tokenbench.api import (
    DECODE,
    PREFILL,
    Architecture,
    Counters,
    Diagnosis,
    Engine,
    EngineRequest,
    FrozenMap,
    HardwareFacts,
    LaunchPlan,
    Layout,
    PluginContext,
    Pool,
    ProcessSpec,
    ServerClient,
    ServingNeeds,
    UsageError,
    Weights,
)

REUSE = ServingNeeds(context_tokens=2048, concurrency=16, prefix_caching=True)
_ROLES = {PREFILL: "kv_producer", DECODE: "kv_consumer"}


class Wrapped(Engine):
    """An engine as core gives it, which plans one server as the engine vllm does."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = dict(options)

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """A server for the only pool."""
        (pool,) = request.layout.pools
        assert pool.replicas == 1 and pool.engine is None
        connector = {"mooncake": "MooncakeConnector"}.get(
            self.options.get("kv_connector", ""), "NixlConnector"
        )
        flags: dict[str, Any] = {
            "--host": "{host}",
            "--port": "{port:http}",
            "--enable-prompt-tokens-details": True,
        }
        if pool.role in _ROLES:
            config = {"kv_connector": connector, "kv_role": _ROLES[pool.role]}
            flags["--kv-transfer-config"] = FrozenMap(config)
        server = ProcessSpec(
            role=pool.key,
            argv=(self.options.get("python", "python"), "serve"),
            flags=FrozenMap(flags),
            accelerators=pool.topology.accelerators,
            ready="http://{host}:{port:http}/health",
        )
        return LaunchPlan(processes=(server,), speculation="mtp")

    def planned_version(self) -> str | None:
        """A version."""
        return "vllm 0.32.0"

    def version(self, server: ServerClient) -> str | None:
        """What the first server says."""
        return server.get("/version").text

    def quiescent(self, server: ServerClient) -> bool | None:
        """Whether all servers say so."""
        pages = [server.get("/idle", endpoint=n) for n in range(len(server.endpoints))]
        return all(page.text == "yes" for page in pages)

    def reset_cache(self, server: ServerClient) -> bool | None:
        """Whether all servers say so."""
        replies = [server.post("/reset", endpoint=n) for n in range(len(server.endpoints))]
        return all(reply.text == "yes" for reply in replies)

    def counters(self, pages: Any) -> Counters:
        """One number."""
        return Counters(requests=float(len(pages)))

    def diagnose(self, log: str) -> Diagnosis | None:
        """Its own messages."""
        return Diagnosis(cause="of vLLM") if "vllm" in log else None


def context(*known: str) -> PluginContext:
    """Core, with these engines installed."""

    def engine(name: str, options: Mapping[str, Any] = FrozenMap(), /) -> Engine:
        if name not in known:
            raise UsageError(f"no engine {name!r} is installed", hint=f"installed: {known}")
        return Wrapped(options)

    return PluginContext(engine=engine)


def engine(*known: str, **options: Any) -> Engine:
    """The engine with these options."""
    (spec,) = bench_register_engines()
    made = spec.factory(LlmdOptions(**options), context(*(known or ("vllm",))))
    assert isinstance(made, Engine)
    return made


def request(*pools: Pool, needs: ServingNeeds | None = None) -> EngineRequest:
    """A request for these pools, by default one of the role `server`."""
    layout = Layout(pools=pools or (Pool(replicas=2),))
    return EngineRequest(
        model="m",
        served_name="name",
        weights=Weights(precision="bf16", format="hf", source="file:/models/m", revision="abc"),
        architecture=Architecture(),
        hardware=HardwareFacts(kind="nvidia", sku="h200", count=layout.accelerators),
        layout=layout,
        needs=needs or ServingNeeds(context_tokens=2048, concurrency=16),
    )


def xpyd(prefill: int, decode: int, **more: Any) -> tuple[Pool, Pool]:
    """A pool for prefill and one for decode."""
    return (
        Pool(role=PREFILL, replicas=prefill, **more),
        Pool(role=DECODE, replicas=decode, **more),
    )


def processes(found: EngineRequest, **options: Any) -> dict[str, ProcessSpec]:
    """The planned processes by role."""
    return {one.role: one for one in engine(**options).plan(found).processes}


def content(process: ProcessSpec, name: str) -> Any:
    """A file's mapping, as plain data."""
    (file,) = (file for file in process.files if file.name == name)
    return _plain(file.content)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
