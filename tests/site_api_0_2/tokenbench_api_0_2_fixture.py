"""Plugins that serve, as they were written for API 0.2.

FROZEN: never edit it. It stands for the plugins of other people that nobody edits either. It is
deleted when its major version is no longer supported; until then what breaks it is broken.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import attrs

from tokenbench.api import (
    COMPLETIONS,
    SERVER,
    Allocation,
    Counters,
    Dialect,
    EndpointSpec,
    Engine,
    EngineCapabilities,
    EngineRequest,
    EngineSpec,
    FileSpec,
    FrozenMap,
    HardwareAbsent,
    Host,
    Launcher,
    LauncherSpec,
    LaunchPlan,
    MetricsPage,
    PluginContext,
    ProcessSpec,
    Reply,
    Resources,
    ServerClient,
    UsageError,
    hookimpl,
    merge_pages,
    option,
    options,
    parse_metrics,
)

NAME = "api-0-2"


# -- engine --------------------------------------------------------------------------------------
@options
class EngineOptions:
    """One option of each type."""

    itl_s: float = option(default=0.001, help="time between tokens", unit="s", minimum=0)
    codec: str = option(default=NAME, help="the codec", choices=(NAME, COMPLETIONS))
    slots: int | None = option(default=None, help="slots", identity=False)
    quick: bool = option(default=True, help="whether it starts at once")
    extra: tuple[str, ...] = option(default=(), help="more arguments")
    key_env: str = option(default="", help="name of the variable that holds the key", secret=True)


class OwnEngine(Engine):
    def __init__(self, options: EngineOptions) -> None:
        self._options = options

    def plan(self, request: EngineRequest) -> LaunchPlan:
        assert request.weights is not None and request.architecture.layers == 2
        if request.layout.pool(SERVER).topology.tp > 1:
            raise UsageError("one at a time", hint="leave out --tp")
        process = ProcessSpec(
            role=SERVER,
            argv=(sys.executable, "-m", "tokenbench_testing.server", *self._options.extra),
            flags={"--port": "{port:http}", "--itl-s": self._options.itl_s, "--no-done": False},
            environment={"DEVICES": "{devices}", "CPUS": "{cpus}", "CONFIG": "{file:own.json}"},
            files=(FileSpec(name="own.json", content=json.dumps({"model": request.model})),),
            accelerators=request.layout.accelerators,
            mounts=("{weights}",),
        )
        endpoint = EndpointSpec(role=SERVER, url="http://{server.0.host}:{server.0.port:http}")
        return LaunchPlan(
            processes=(process,),
            endpoints=(endpoint,),
            start_timeout_s=30.0,
            served_name=request.served_name,
            api_key_env=self._options.key_env or None,
        )

    def dialect(self, request: EngineRequest) -> Dialect:
        return Dialect(codecs=(self._options.codec,), ignore_eos=True)

    def ready(self, server: ServerClient) -> bool:
        assert server.endpoints[0].role == SERVER
        reply: Reply = server.get("/health", endpoint=0)
        return reply.status == 200

    def planned_version(self) -> str | None:
        return "scripted"

    def version(self, server: ServerClient) -> str | None:
        return str(json.loads(server.get("/version").text)["version"])

    def facts(self, server: ServerClient) -> FrozenMap[str]:
        return FrozenMap({"posted": str(server.post("/nothing", {}).status)})

    def reset_cache(self, server: ServerClient) -> bool:
        return True

    def quiescent(self, server: ServerClient) -> bool | None:
        return parse_metrics(server.get("/metrics").text).sum("scripted_running") == 0

    def counters(self, pages: Sequence[MetricsPage]) -> Counters:
        page = merge_pages(pages)
        return Counters(
            prompt_tokens=page.sum("scripted_prompt_tokens_total"),
            generated_tokens=page.sum("scripted_generated_tokens_total"),
        )


class WrappingEngine(OwnEngine):
    def __init__(self, options: EngineOptions, context: PluginContext) -> None:
        super().__init__(options)
        self._context = context

    def plan(self, request: EngineRequest) -> LaunchPlan:
        worker = self._context.engine(NAME).worker(request, SERVER)
        plan = super().plan(request)
        return attrs.evolve(plan, processes=(worker,), wraps=FrozenMap({SERVER: NAME}))


@hookimpl
def bench_register_engines() -> Sequence[EngineSpec]:
    facts: dict[str, Any] = {"weight_formats": ("own",), "axes": ("tp",), "roles": (SERVER,)}
    able = EngineCapabilities(**facts, hardware=(NAME,), counters=True, reset_cache=True)
    wraps = EngineCapabilities(**facts, starts_server=True)
    return [
        EngineSpec(
            name=NAME,
            summary="an engine",
            options=EngineOptions,
            factory=lambda options, context: OwnEngine(options),
            capabilities=able,
        ),
        EngineSpec(
            name=f"{NAME}-wrapping",
            summary="an engine around it",
            options=EngineOptions,
            factory=WrappingEngine,
            capabilities=wraps,
        ),
    ]


# -- launcher ------------------------------------------------------------------------------------
@options
class LauncherOptions:
    """Where it starts things."""

    address: str = option(default="127.0.0.1", help="the address that servers bind to")


class OwnLauncher(Launcher):
    def __init__(self, options: LauncherOptions, context: PluginContext) -> None:
        self._host = Host(name="here", address=options.address, python=sys.executable)
        self._released: list[str] = []

    def allocate(self, resources: Resources) -> Allocation:
        if resources.accelerators > 1 or any(p.sku != "OWN-1" for p in resources.processes[:1]):
            raise HardwareAbsent("too few devices", hint="ask for fewer")
        return Allocation(id="own", hosts=(self._host,))

    def channel(self, host: Host, argv: Sequence[str]) -> Sequence[str]:
        assert (host.name, host.address) == (self._host.name, self._host.address)
        return ("env", "OWN_CHANNEL=1", *argv)

    def release(self, allocation: Allocation) -> None:
        assert allocation.id == "own" and not self._released
        self._released.append(allocation.id)


@hookimpl
def bench_register_launchers() -> Sequence[LauncherSpec]:
    return [
        LauncherSpec(
            name=NAME,
            summary="this machine",
            options=LauncherOptions,
            factory=OwnLauncher,
            this_machine=True,
        )
    ]
