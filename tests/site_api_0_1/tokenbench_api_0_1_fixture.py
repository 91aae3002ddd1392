"""Plugins that serve, as they were written for API 0.1.

FROZEN: never edit it. It stands for the plugins of other people that nobody edits either. It is
deleted when its major version is no longer supported; until then what breaks it is broken.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from tokenbench.api import (
    COMPLETIONS,
    SERVER,
    Allocation,
    BoundProcess,
    CommandResult,
    Counters,
    Deployment,
    Dialect,
    Endpoint,
    EndpointSpec,
    Engine,
    EngineCapabilities,
    EngineContext,
    EngineError,
    EngineRequest,
    EngineSpec,
    FileSpec,
    FrozenMap,
    HardwareAbsent,
    Host,
    Launcher,
    LauncherContext,
    LauncherSpec,
    LaunchPlan,
    Placement,
    ProcessSpec,
    ProcessState,
    Reply,
    Resources,
    Server,
    UsageError,
    bind_process,
    bind_url,
    hookimpl,
    option,
    options,
    parse_prometheus,
    symbol_values,
)

NAME = "api-0-1"


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
            argv=(sys.executable, "-m", "tokenbench.testing.server", *self._options.extra),
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
        return Dialect(codecs=(self._options.codec,), ignore_eos=True, chunk_is_token=True)

    def ready(self, server: Server) -> bool:
        assert server.endpoints[0].role == SERVER
        reply: Reply = server.get("/health", endpoint=0)
        return reply.status == 200

    def planned_version(self) -> str | None:
        return "scripted"

    def version(self, server: Server) -> str | None:
        return str(json.loads(server.get("/version").text)["version"])

    def facts(self, server: Server) -> FrozenMap[str]:
        return FrozenMap({"posted": str(server.post("/nothing", {}).status)})

    def reset_cache(self, server: Server) -> bool:
        return True

    def quiescent(self, server: Server) -> bool | None:
        return parse_prometheus(server.get("/metrics").text)["scripted_running"] == 0

    def counters(self, text: str) -> Counters:
        page = parse_prometheus(text)
        return Counters(
            prompt_tokens=page["scripted_prompt_tokens_total"],
            generated_tokens=page["scripted_generated_tokens_total"],
        )


class WrappingEngine(OwnEngine):
    def __init__(self, options: EngineOptions, context: EngineContext) -> None:
        super().__init__(options)
        self._context = context

    def plan(self, request: EngineRequest) -> LaunchPlan:
        worker = self._context.engine(NAME).worker(request, SERVER)
        return attrs.evolve(super().plan(request), processes=(worker,))


@hookimpl
def bench_register_engines() -> Sequence[EngineSpec]:
    facts: dict[str, Any] = {"weight_formats": ("own",), "axes": ("tp",), "roles": (SERVER,)}
    able = EngineCapabilities(**facts, hardware=(NAME,), counters=True, reset_cache=True)
    wraps = EngineCapabilities(**facts, wraps=(SERVER,), starts_server=True)
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
    def __init__(self, options: LauncherOptions, context: LauncherContext) -> None:
        self._context = context
        self._host = Host(
            name="here", address=options.address, cpus=context.cpus, devices=context.devices
        )

    def allocate(self, resources: Resources) -> Allocation:
        if resources.accelerators > len(self._host.devices):
            raise HardwareAbsent("too few devices", hint="ask for fewer")
        assert resources.accelerator_sku == "OWN-1" and not resources.client
        places = []
        for process in resources.processes:
            for index in range(process.replicas):
                ports = FrozenMap({name: _port(self._host.address) for name in process.ports})
                devices = self._host.devices[: process.accelerators]
                places.append(
                    Placement(
                        role=process.role,
                        index=index,
                        host=self._host,
                        ports=ports,
                        devices=devices,
                    )
                )
        return Allocation(id="own", hosts=(self._host,), placements=tuple(places))

    def start(self, plan: LaunchPlan, allocation: Allocation) -> Deployment:
        scratch = Path(tempfile.mkdtemp(prefix="own-"))
        started: list[tuple[str, int, subprocess.Popen[bytes]]] = []
        for spec in plan.processes:
            for index in range(spec.replicas):
                process = self._one(spec, index, allocation, scratch)
                started += [(spec.role, index, process)]
        endpoints = []
        for index, asked in enumerate(plan.endpoints):
            url, metrics = bind_url(asked, symbol_values(allocation, asked.role, 0))
            endpoints.append(Endpoint(role=asked.role, index=index, url=url, metrics_url=metrics))
        return OwnDeployment(tuple(endpoints), started, self._context.logs, scratch)

    def _one(
        self, spec: ProcessSpec, index: int, allocation: Allocation, scratch: Path
    ) -> subprocess.Popen[bytes]:
        facts = symbol_values(allocation, spec.role, index)
        facts |= {"cpus": str(len(self._context.cpus)), "scratch": str(scratch)}
        facts["weights"] = self._context.weights or ""
        for file in spec.files:
            (scratch / file.name).write_text(file.content)
            facts[f"file:{file.name}"] = str(scratch / file.name)
        secrets: Mapping[str, str] = {}
        bound: BoundProcess = bind_process(spec, index, facts, secrets)
        with (self._context.logs / f"{bound.role}-{bound.index}.log").open("wb") as log:
            environment = {**os.environ, **bound.environment}
            return subprocess.Popen(bound.argv, env=environment, stdout=log, stderr=log)

    def run_on(self, host: str, argv: Sequence[str], *, timeout_s: float) -> CommandResult:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)
        return CommandResult(exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def put(self, host: str, local: Path, remote: str) -> None:
        Path(remote).write_bytes(local.read_bytes())

    def get(self, host: str, remote: str, local: Path) -> None:
        local.write_bytes(Path(remote).read_bytes())

    def attach(self, id: str) -> Deployment:
        raise EngineError(f"{id} is gone", hint="run it again")


class OwnDeployment(Deployment):
    def __init__(
        self,
        endpoints: tuple[Endpoint, ...],
        started: list[tuple[str, int, subprocess.Popen[bytes]]],
        logs: Path,
        scratch: Path,
    ) -> None:
        self.id = "own"
        self._endpoints, self._started, self._logs = endpoints, started, logs
        self._scratch = scratch

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return self._endpoints

    def status(self) -> Sequence[ProcessState]:
        return [
            ProcessState(role=role, index=index, host="here", pid=p.pid, exit_code=p.poll())
            for role, index, p in self._started
        ]

    def logs(self, role: str, *, lines: int = 200) -> str:
        text = "".join(file.read_text() for file in self._logs.glob(f"{role}-*.log"))
        return "\n".join(text.splitlines()[-lines:])

    def cancel(self) -> None:
        for _, _, process in self._started:
            process.terminate()
            process.wait()
        shutil.rmtree(self._scratch, ignore_errors=True)


def _port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


@hookimpl
def bench_register_launchers() -> Sequence[LauncherSpec]:
    return [
        LauncherSpec(
            name=NAME, summary="this machine", options=LauncherOptions, factory=OwnLauncher
        )
    ]
