"""Starts the processes of a plan on the hosts of an allocation, through node agents."""

from __future__ import annotations

import contextlib
import os
import shlex
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

from tokenbench.api import (
    Allocation,
    Endpoint,
    EndpointSpec,
    EngineError,
    FrozenMap,
    Host,
    Interrupted,
    Launcher,
    LaunchPlan,
    Placement,
    ProcessSpec,
    Resources,
)

from .binding import start_arguments
from .node.client import AgentError, NodeAgent, ProcessEvents
from .placement import Device, place
from .ports import require_free
from .process import tail
from .process_state import ProcessState
from .reachable import is_ready
from .settings import LaunchSettings
from .shared import check_shared, shared_folder
from .start_failure import start_error
from .start_order import start_order
from .symbols import bind, bind_url, of_each_process, symbol_values

GRACE_S = 10.0
"""Time that a process has to end before it is killed."""
_STOP_S = GRACE_S + 5.0
_POLL_S = 0.02
_HALTED = "was halted by a signal, such as SIGSTOP, for more than 5 s"


class Deployment:
    """The processes of a plan, their hosts and agents.

    Everything is registered here before it is started, so `stop` ends all of it at any time, also
    from another thread.

    Attributes:
        allocation: the hosts, once they are granted.
        queue_s: how long the launcher took to grant them.
    """

    def __init__(self, launcher: Launcher, plan: LaunchPlan, settings: LaunchSettings) -> None:
        self.launcher = launcher
        self.plan = plan
        self.allocation: Allocation | None = None
        self.placements: tuple[Placement, ...] = ()
        self.endpoints: tuple[Endpoint, ...] = ()
        self.queue_s = 0.0
        self._shared: str | None = None
        self._settings = settings
        self._agents: dict[str, NodeAgent] = {}
        self._states: dict[str, ProcessState] = {}
        self._waiting = list[ProcessSpec]()
        self._started = list[Placement]()
        self._stopped = False
        self._lock = threading.Lock()

    # -- start -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Get the hosts and start the processes that depend on no other; :meth:`proceed` starts the
        rest.

        Raises:
            EngineError: a host cannot be reached, or a program cannot be started.
            HardwareAbsent: there are not enough devices.
        """
        begun = time.monotonic()
        allocation = self.launcher.allocate(Resources(processes=self.plan.processes))
        self.queue_s = time.monotonic() - begun
        with self._lock:
            stopped = self._stopped
            self.allocation = None if stopped else allocation
        if stopped:  # While the launcher waited for hosts.
            self.launcher.release(allocation)
            raise _interrupted()
        if self.plan.processes:
            self._place(allocation)
            self._waiting = start_order(self.plan.processes)
        self.endpoints = self._bound_endpoints()
        self.proceed()

    def proceed(self) -> bool:
        """Start the processes whose predecessors are ready. Returns whether all are started and
        ready, as far as the plan says how to check it.
        """
        while self._waiting:
            spec = self._waiting[0]
            if not all(self._ready(role) for role in spec.after):
                return False
            # Checked before the start: nothing waits for the next role while this one starts.
            del self._waiting[0]
            for placement in self.placements:
                if placement.role == spec.role and self._starts(placement):
                    self._start(spec, placement)
        return all(self._ready(spec.role) for spec in self.plan.processes)

    @property
    def waits_for(self) -> str:
        """Text for messages: what :meth:`proceed` waits for."""
        roles = self._waiting[0].after if self._waiting else [p.role for p in self.plan.processes]
        return ", ".join(role for role in roles if not self._ready(role))

    def _place(self, allocation: Allocation) -> None:
        processes, hosts = self.plan.processes, allocation.hosts
        devices: dict[str, Sequence[Device]] = {}
        if any(process.accelerators for process in processes):
            self._reach(hosts)
            for host in hosts:
                devices[host.name] = list(map(Device, host.devices or ()))
                if host.devices is None:
                    devices[host.name] = self._settings.devices(self._agents[host.name])
        placed = place(processes, hosts, devices)
        names = list(dict.fromkeys(placement.host.name for placement in placed))
        self._shared = shared_folder(processes, names, allocation)
        self._reach([host for host in hosts if host.name in names])
        for name in names:
            agent = self._agents[name]
            self._check_weights(agent)
            with self._told(name):
                if self._shared is not None and name != names[0]:
                    check_shared(agent, self._shared)
                agent.prepare([p.name for p in placed if p.host.name == name], self._shared)
        self.placements = self._with_ports(placed)
        self._states = {p.name: ProcessState(place=p) for p in self.placements if self._starts(p)}

    def _reach(self, hosts: Sequence[Host]) -> None:
        """Start the missing agents concurrently, because each takes a moment."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._agent, [host for host in hosts if host.name not in self._agents]))

    def _agent(self, host: Host) -> None:
        try:
            agent = NodeAgent(
                host=host.name,
                channel=self.channel(host),
                python=host.python,
                log=self._settings.logs / (f"node-{host.name}.log".replace("/", "-")),
                grace_s=_STOP_S,
            )
        except AgentError as error:
            command = shlex.join(self.launcher.channel(host, (host.python, "-V")))
            raise EngineError(
                f"no process can be started on {host.name}: {error}",
                hint=f"check that this prints Python 3.8 or newer: {command}",
                log=self._settings.logs,
            ) from error
        with self._lock:
            if not self._stopped:
                self._agents[host.name] = agent
                return
        agent.close()
        raise _interrupted()

    def _check_weights(self, agent: NodeAgent) -> None:
        """Check that other hosts have the files they need. Hub names are not files."""
        if agent.is_here:
            return
        settings = self._settings
        for path in (settings.weights, *settings.extra_weights.values()):
            if path is not None and path.startswith("/"):
                with self._told(agent.host):
                    found = agent.ask("exists", path=path)
                if not found:
                    raise EngineError(
                        f"{agent.host} has no {path}, the weights of the model",
                        hint="copy them there to the same path, or use a file system shared by "
                        "all hosts",
                    )

    def _with_ports(self, placed: Sequence[Placement]) -> tuple[Placement, ...]:
        counts = {spec.role: spec.ports for spec in self.plan.processes}
        found = []
        fixed = self._settings.port
        for placement in placed:
            agent = self._agents[placement.host.name]
            blocks = counts[placement.role]
            with self._told(placement.host.name):
                numbers = agent.ask("ports", counts=[block.count for block in blocks])
            if fixed is not None and blocks:
                with self._told(placement.host.name):
                    require_free(placement.host.address, fixed, agent)
                numbers[0], fixed = fixed, None
            ports = {block.name: number for block, number in zip(blocks, numbers, strict=True)}
            host = placement.host
            if agent.sees_our_pids and not host.cpus:
                host = attrs.evolve(host, cpus=self._settings.cpus)
            found.append(attrs.evolve(placement, host=host, ports=FrozenMap(ports)))
        return tuple(found)

    def _start(self, spec: ProcessSpec, placement: Placement) -> None:
        agent, name = self._agents[placement.host.name], placement.name
        log = self._settings.logs / f"{name}.log"
        # The log of a process on another host arrives in parts. The file exists even if it is
        # empty.
        log.touch()
        arguments = start_arguments(
            spec, placement, self.placements, self.plan, agent, self._settings, self._shared
        )
        with self._told(placement.host.name):
            self._started.append(placement)
            status = agent.start(
                name,
                ProcessEvents(
                    printed=lambda text: _append(log, text),
                    exited=lambda code: self._ended(name, code),
                    halted=lambda: self._lost(name, _HALTED),
                ),
                log=os.fsencode(log.absolute()).hex() if agent.is_here else None,
                grace_s=GRACE_S,
                **arguments,
            )
        word, _, rest = status.partition(" ")
        if word != "started":
            where = "" if agent.is_here else placement.host.name
            raise start_error(
                arguments["argv"][0],
                rest,
                cpus=placement.host.cpus,
                where=where,
                here=agent.is_here,
            )
        with self._lock:  # It may have ended in the meantime.
            self._states[name] = attrs.evolve(self._states[name], pid=int(rest))

    def _ended(self, name: str, code: int | None) -> None:
        if code is None and not self._stopped:
            agent = self._agents[self._states[name].place.host.name]
            self._lost(name, f"cannot be reached any more: {agent.how_it_ended()}")
        with self._lock:
            self._states[name] = attrs.evolve(self._states[name], exit_code=code)

    def _lost(self, name: str, why: str) -> None:
        with self._lock:
            self._states[name] = attrs.evolve(self._states[name], lost=why)

    def _starts(self, placement: Placement) -> bool:
        (spec,) = (p for p in self.plan.processes if p.role == placement.role)
        return not (spec.leader_only and placement.rank)

    def _ready(self, role: str) -> bool:
        """Whether all processes of a role have started and report that they are ready."""
        (spec,) = (process for process in self.plan.processes if process.role == role)
        if spec in self._waiting:
            return False
        if spec.ready is None:
            return True
        for placement in self.placements:
            if placement.role == role and self._starts(placement):
                values = symbol_values(self.placements, self.plan.processes, placement)
                if not is_ready(bind(spec.ready, values, f"{role}, ready")):
                    return False
        return True

    def _bound_endpoints(self) -> tuple[Endpoint, ...]:
        counts: Counter[str] = Counter()
        found = []
        for spec in self.plan.endpoints:
            if of_each_process(spec.url):
                found += [
                    self._endpoint(spec, placement, placement.index)
                    for placement in self.placements
                    if placement.role == spec.role and self._starts(placement)
                ]
            else:
                found.append(self._endpoint(spec, None, counts[spec.role]))
                counts[spec.role] += 1
        return tuple(found)

    def _endpoint(self, spec: EndpointSpec, placement: Placement | None, index: int) -> Endpoint:
        values = symbol_values(self.placements, self.plan.processes, placement)
        url, metrics_url = bind_url(spec, values)
        if placement is None:
            # For a URL with another process's symbols: the first one's host.
            placement = next((p for p in self.placements if p.role == spec.role), None)
        host = placement.host.name if placement is not None else None
        return Endpoint(
            role=spec.role,
            index=index,
            rank=placement.rank if placement is not None else 0,
            host=host,
            here=host is not None and self._agents[host].is_here,
            url=url,
            metrics_url=metrics_url,
        )

    @contextlib.contextmanager
    def _told(self, host: str) -> Iterator[None]:
        try:
            yield
        except AgentError as error:
            raise EngineError(
                f"{host}: {error}", hint="see the log of its node agent", log=self._settings.logs
            ) from error

    # -- questions ---------------------------------------------------------------------------------

    def states(self) -> Sequence[ProcessState]:
        """The state of every process that was started or will be."""
        return list(self._states.values())

    @property
    def hosts(self) -> tuple[Host, ...]:
        """The hosts of its processes; those of the allocation if it starts no process."""
        if self._agents:
            return tuple({p.host.name: p.host for p in self.placements}.values())
        return self.allocation.hosts if self.allocation is not None else ()

    @property
    def other_hosts(self) -> dict[str, NodeAgent]:
        """The agents of hosts that are not this machine."""
        return {name: agent for name, agent in self._agents.items() if not agent.is_here}

    def channel(self, host: Host) -> Callable[[Sequence[str]], Sequence[str]]:
        """The function that turns a command into one that runs it on a host."""
        return lambda argv: self.launcher.channel(host, argv)

    @property
    def pids(self) -> list[int]:
        """Pids of the processes on this machine."""
        agents = self._agents
        return [
            state.pid
            for state in self._states.values()
            if state.pid is not None and agents[state.place.host.name].sees_our_pids
        ]

    def log(self, placement: Placement) -> Path:
        """The log of a process."""
        return self._settings.logs / f"{placement.name}.log"

    def logs(self, role: str, *, lines: int = 200) -> str:
        """The last lines of the logs of a role's processes."""
        found = [self.log(p) for p in self.placements if p.role == role and self._starts(p)]
        return "\n".join(tail(file, lines) for file in found)

    # -- end ---------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop all processes, those that started last first, and release the hosts. Idempotent."""
        with self._lock:
            self._stopped = True
            allocation, self.allocation = self.allocation, None
        try:
            self._stop_processes()
        finally:
            for agent in self._agents.values():
                agent.close()
            if allocation is not None:
                self.launcher.release(allocation)

    def _stop_processes(self) -> None:
        hosts = dict.fromkeys(p.host.name for p in self._started)
        for name in hosts:
            names = [p.name for p in reversed(self._started) if p.host.name == name]
            with contextlib.suppress(AgentError):
                self._agents[name].ask("terminate", names=names)
        deadline = time.monotonic() + _STOP_S
        while time.monotonic() < deadline and not all(
            self._states[p.name].exit_code is not None or self._agents[p.host.name].gone
            for p in self._started
        ):
            time.sleep(_POLL_S)


def _interrupted() -> Interrupted:
    return Interrupted("interrupted while the server was starting", hint="run it again")


def _append(file: Path, text: str) -> None:
    with contextlib.suppress(OSError), file.open("a", encoding="utf-8") as log:
        log.write(text)
