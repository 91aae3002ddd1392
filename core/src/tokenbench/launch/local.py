"""The local launcher: this machine, as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tokenbench.api import (
    Allocation,
    Deployment,
    Endpoint,
    EngineError,
    Finished,
    FrozenMap,
    HardwareAbsent,
    Host,
    Launcher,
    LaunchPlan,
    Placement,
    ProcessSpec,
    ProcessState,
    Resources,
)

from .ports import free_port, require_free
from .process import Process, start, tail
from .symbols import bind_process, bind_url

ADDRESS = "127.0.0.1"


class LocalDeployment(Deployment):
    """Processes on this machine."""

    def __init__(
        self,
        id: str,
        endpoints: tuple[Endpoint, ...],
        processes: list[tuple[str, int, Process]],
        scratch: Path | None,
    ) -> None:
        self.id = id
        self._endpoints = endpoints
        self._processes = processes
        self._scratch = scratch

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The bound endpoints."""
        return self._endpoints

    def status(self) -> Sequence[ProcessState]:
        """The state of every process."""
        return [
            ProcessState(
                role=role,
                index=index,
                host="localhost",
                pid=process.pid,
                exit_code=process.exit_code,
            )
            for role, index, process in self._processes
        ]

    def logs(self, role: str, *, lines: int = 200) -> str:
        """The last lines of a role's logs."""
        files = [p.log for r, _, p in self._processes if r == role and p.log is not None]
        return "\n".join(tail(file, lines) for file in files)

    def cancel(self) -> None:
        """Stop everything, in reverse order of starting."""
        for _, _, process in reversed(self._processes):
            process.stop()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)


class LocalLauncher(Launcher):
    """Starts processes on this machine.

    Args:
        cpus: the CPU cores that servers may use.
        devices: the accelerators that may be used.
        logs: the folder for logs.
        weights: what ``{weights}`` stands for.
        port: a fixed first port, None for free ones.
    """

    def __init__(
        self,
        *,
        cpus: tuple[int, ...],
        devices: tuple[int, ...] = (),
        logs: Path,
        weights: str | None = None,
        port: int | None = None,
    ) -> None:
        self._host = Host(name="localhost", address=ADDRESS, cpus=cpus, devices=devices)
        self._logs = logs
        self._weights = weights
        self._port = port

    def allocate(self, resources: Resources) -> Allocation:
        """This machine, if it has enough accelerators."""
        wanted = sum(p.accelerators * p.replicas for p in resources.processes)
        if wanted > len(self._host.devices):
            raise HardwareAbsent(
                f"{wanted} accelerators are needed, {len(self._host.devices)} are here",
                hint="ask for a smaller topology",
            )
        placements = []
        for process in resources.processes:
            for index in range(process.replicas):
                ports = FrozenMap({name: self._next_port() for name in process.ports})
                placements.append(
                    Placement(role=process.role, index=index, host=self._host, ports=ports)
                )
        return Allocation(id="local", hosts=(self._host,), placements=tuple(placements))

    def start(self, plan: LaunchPlan, allocation: Allocation) -> LocalDeployment:
        """Bind symbols and start the plan's processes."""
        facts = _facts(allocation)
        scratch = Path(tempfile.mkdtemp(prefix="tokenbench-")) if plan.processes else None
        started: list[tuple[str, int, Process]] = []
        devices = list(self._host.devices)
        try:
            for spec in plan.processes:
                for index in range(spec.replicas):
                    mine, devices = devices[: spec.accelerators], devices[spec.accelerators :]
                    assert scratch is not None
                    process = self._start_one(spec, index, facts, mine, scratch)
                    started.append((spec.role, index, process))
        except BaseException:
            LocalDeployment("local", (), started, scratch).cancel()
            raise
        return LocalDeployment(allocation.id, _endpoints(plan, facts), started, scratch)

    def _start_one(
        self,
        spec: ProcessSpec,
        index: int,
        shared: dict[str, str],
        devices: list[int],
        scratch: Path,
    ) -> Process:
        own = f"{spec.role}.{index}."
        folder = scratch / f"{spec.role}-{index}"
        folder.mkdir()
        facts = {
            **shared,
            **{
                key.removeprefix(own): value for key, value in shared.items() if key.startswith(own)
            },
            "cpus": str(len(self._host.cpus)),
            "devices": ",".join(map(str, devices)),
            "scratch": str(folder),
        }
        if self._weights is not None:
            facts["weights"] = self._weights
        for file in spec.files:
            path = folder / file.name
            path.write_text(file.content, encoding="utf-8")
            facts[f"file:{file.name}"] = str(path)
        bound = bind_process(spec, index, facts, dict(os.environ))
        return start(
            bound.argv,
            cpus=self._host.cpus or None,
            env={**os.environ, **bound.environment},
            log=self._logs / f"{spec.role}-{index}.log",
            scratch=folder,
        )

    def run_on(self, host: str, argv: Sequence[str], *, timeout_s: float) -> Finished:
        """Run a short command here."""
        try:
            done = subprocess.run(
                list(argv), capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EngineError(f"{argv[0]} did not run: {error}", hint="see the message") from error
        return Finished(exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def put(self, host: str, local: Path, remote: str) -> None:
        """Copy a file."""
        shutil.copyfile(local, remote)

    def get(self, host: str, remote: str, local: Path) -> None:
        """Copy a file."""
        shutil.copyfile(remote, local)

    def attach(self, id: str) -> Deployment:
        """Local deployments end with their command; there is none to find again."""
        raise EngineError(
            "a local deployment does not outlive its command", hint="run the suite again"
        )

    def _next_port(self) -> int:
        if self._port is None:
            return free_port(ADDRESS)
        port, self._port = self._port, None
        require_free(ADDRESS, port)
        return port


def _facts(allocation: Allocation) -> dict[str, str]:
    facts = {}
    for place in allocation.placements:
        name = f"{place.role}.{place.index}"
        facts[f"{name}.host"] = place.host.address
        for port, number in place.ports.items():
            facts[f"{name}.port:{port}"] = str(number)
    return facts


def _endpoints(plan: LaunchPlan, facts: dict[str, str]) -> tuple[Endpoint, ...]:
    bound = []
    for index, endpoint in enumerate(plan.endpoints):
        url, metrics_url = bind_url(endpoint, facts)
        bound.append(Endpoint(role=endpoint.role, index=index, url=url, metrics_url=metrics_url))
    return tuple(bound)
