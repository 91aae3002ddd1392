"""The local launcher: processes on this machine, without containers."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tokenbench.api import (
    Allocation,
    CommandResult,
    Deployment,
    Endpoint,
    EngineError,
    FileSpec,
    FrozenMap,
    HardwareAbsent,
    Host,
    Launcher,
    LauncherContext,
    LaunchPlan,
    MachineError,
    Placement,
    PluginError,
    ProcessSpec,
    ProcessState,
    Resources,
    bind_process,
    bind_url,
    symbol_values,
)

from .ports import free_port, require_free
from .process import Process, start, tail
from .scratch import new_parent, temporary_folder

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
        """Endpoints with bound ports."""
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
        """The last lines of the logs of a role's processes."""
        files = [p.log for r, _, p in self._processes if r == role and p.log is not None]
        return "\n".join(tail(file, lines) for file in files)

    def cancel(self) -> None:
        """Stop all processes concurrently, in reverse order of their start."""
        try:
            for _, _, process in reversed(self._processes):
                process.terminate()
            for _, _, process in reversed(self._processes):
                process.stop()
        finally:
            if self._scratch is not None:
                shutil.rmtree(self._scratch, ignore_errors=True)


class LocalLauncher(Launcher):
    """Starts processes on this machine."""

    def __init__(self, context: LauncherContext) -> None:
        self._host = Host(
            name="localhost", address=ADDRESS, cpus=context.cpus, devices=context.devices
        )
        self._context = context

    def allocate(self, resources: Resources) -> Allocation:
        """Place all processes on this machine."""
        count = resources.accelerators
        if count > len(self._host.devices):
            raise HardwareAbsent(
                f"{count} accelerators requested, {len(self._host.devices)} available",
                hint="use a smaller topology or fewer replicas",
            )
        fixed = self._context.port
        devices = list(self._host.devices)
        placements = []
        for process in resources.processes:
            for index in range(process.replicas):
                ports: dict[str, int] = {}
                for name in process.ports:
                    if fixed is not None:
                        require_free(ADDRESS, fixed)
                    ports[name] = free_port(ADDRESS) if fixed is None else fixed
                    fixed = None
                placements.append(
                    Placement(
                        role=process.role,
                        index=index,
                        host=self._host,
                        ports=FrozenMap(ports),
                        devices=tuple(devices[: process.accelerators]),
                    )
                )
                devices = devices[process.accelerators :]
        return Allocation(id="local", hosts=(self._host,), placements=tuple(placements))

    def start(self, plan: LaunchPlan, allocation: Allocation) -> LocalDeployment:
        """Bind the plan's symbols and start its processes."""
        scratch = _scratch(plan)
        started: list[tuple[str, int, Process]] = []
        try:
            for spec in plan.processes:
                for index in range(spec.replicas):
                    assert scratch is not None
                    facts = symbol_values(allocation, spec.role, index)
                    process = self._start_one(spec, index, facts, scratch)
                    started.append((spec.role, index, process))
        except BaseException:
            LocalDeployment("local", (), started, scratch).cancel()
            raise
        return LocalDeployment(allocation.id, _endpoints(plan, allocation), started, scratch)

    def _start_one(
        self,
        spec: ProcessSpec,
        index: int,
        facts: dict[str, str],
        scratch: Path,
    ) -> Process:
        folder = scratch / f"{spec.role}-{index}"
        facts["cpus"] = str(len(self._host.cpus) or _usable_cpus())
        facts["scratch"] = str(folder)
        if self._context.weights is not None:
            facts["weights"] = self._context.weights
        for file in spec.files:
            facts[f"file:{file.name}"] = str(_write(file, folder))
        bound = bind_process(spec, index, facts, dict(os.environ))
        return start(
            bound.argv,
            cpus=self._host.cpus or None,
            env={**os.environ, **bound.environment},
            log=self._context.logs / f"{spec.role}-{index}.log",
            scratch=folder,
        )

    def run_on(self, host: str, argv: Sequence[str], *, timeout_s: float) -> CommandResult:
        """Run a short command; its descendants end with it or after `timeout_s`."""
        with temporary_folder() as folder:
            stdout, stderr = folder / "stdout", folder / "stderr"
            with stdout.open("wb") as out:
                process = start(argv, stdout=out, log=stderr, grace_s=1.0)
            try:
                code = process.wait(timeout_s)
            finally:
                process.stop()
            if code is None:
                raise EngineError(
                    f"{argv[0]} did not exit within {timeout_s:g} s",
                    hint="run it in a shell to see why",
                )
            texts = [file.read_text("utf-8", errors="replace") for file in (stdout, stderr)]
        return CommandResult(exit_code=code, stdout=texts[0], stderr=texts[1])

    def put(self, host: str, local: Path, remote: str) -> None:
        """Copy a file."""
        _copy(local, Path(remote))

    def get(self, host: str, remote: str, local: Path) -> None:
        """Copy a file."""
        _copy(Path(remote), local)

    def attach(self, id: str) -> Deployment:
        """Not supported: local deployments end with `bench`."""
        raise EngineError(
            "a local deployment ends with bench; there is none to attach to",
            hint="run the suite again",
        )


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _endpoints(plan: LaunchPlan, allocation: Allocation) -> tuple[Endpoint, ...]:
    facts = symbol_values(allocation, "", 0)
    bound = []
    counts: Counter[str] = Counter()
    for endpoint in plan.endpoints:
        url, metrics_url = bind_url(endpoint, facts)
        index = counts[endpoint.role]
        bound.append(Endpoint(role=endpoint.role, index=index, url=url, metrics_url=metrics_url))
        counts[endpoint.role] += 1
    return tuple(bound)


def _scratch(plan: LaunchPlan) -> Path | None:
    """A folder with one subfolder per process, all created before the first process starts.

    The last subfolder to be removed takes the parent with it. If they were created one by one, an
    early exit of the first process would remove the parent too soon.
    """
    if not plan.processes:
        return None
    scratch = new_parent()
    try:
        for spec in plan.processes:
            for index in range(spec.replicas):
                (scratch / f"{spec.role}-{index}").mkdir()
    except OSError as error:
        raise MachineError(
            f"cannot create a scratch folder: {error}",
            hint="check free disk space, or set TMPDIR to another folder",
        ) from error
    return scratch


def _write(file: FileSpec, folder: Path) -> Path:
    if file.name in {"", ".", ".."} or "/" in file.name:
        raise PluginError(
            f"invalid file name {file.name!r}",
            hint="the name of a FileSpec must not contain a folder",
        )
    path = folder / file.name
    try:
        path.write_text(file.content, encoding="utf-8")
    except OSError as error:
        raise MachineError(f"cannot write {path}: {error}", hint="check free disk space") from error
    return path


def _copy(source: Path, target: Path) -> None:
    try:
        if not (target.exists() and source.samefile(target)):
            shutil.copyfile(source, target)
    except OSError as error:
        raise MachineError(
            f"cannot copy {source} to {target}: {error.strerror}",
            hint="check both paths and free disk space",
        ) from error
