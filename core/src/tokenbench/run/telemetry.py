"""The telemetry of a deployment: which devices are sampled, and their power without load."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import attrs

from tokenbench.api import BenchError, DeviceInfo, Host, Probe
from tokenbench.launch.node.client import NodeAgent
from tokenbench.launch.node.program import RunningProgram
from tokenbench.launch.ports import on_this_machine
from tokenbench.plan.plan import PlannedDeployment
from tokenbench.plugins.instances import PluginInstances
from tokenbench.suite.schema import PluginRef
from tokenbench.telemetry.collect import Telemetry, Watched, source_name
from tokenbench.telemetry.doctor import device_problems

from .context import RunContext
from .device_facts import device_facts
from .running_server import RunningServer

if TYPE_CHECKING:
    from tokenbench.measure.percentiles import Metrics

_POLL_S = 0.05


@attrs.frozen
class _Plugin:
    """A hardware plugin that is sampled. `asked`: the user named it."""

    instances: PluginInstances
    ref: PluginRef
    asked: bool = True


def start_telemetry(
    run: RunContext, deployment: PlannedDeployment, server: RunningServer
) -> Telemetry:
    """Start an agent on each host of a running deployment, with a sampler of each plugin.

    Raises:
        PluginError: an agent failed, or a plugin that the user named.
    """
    request = run.plan.resolved.suite.telemetry
    telemetry = Telemetry(run.directory.telemetry(deployment.id), request.interval_s)
    try:
        here = _is_here(server)
        if here:
            _record_devices(run, deployment)
        else:
            run.note(
                "the server is on another machine: its power and devices are not measured, and "
                "those of this machine are not the server's"
            )
        for host in server.deployment.hosts:
            channel = server.deployment.channel(host)
            agent = telemetry.agent(host, channel, run.plan.cores.workers)
            for ref in deployment.all_hardware if here else ():
                _watch_own(run, deployment, ref, server, host, agent, telemetry)
            for plugin in _other_plugins(run, deployment):
                # A plugin that the user named may read the server's host over the network.
                if here or plugin.asked:
                    _watch_other(run, plugin, agent, telemetry)
        telemetry.wait()
    except BaseException:
        telemetry.close()
        raise
    return telemetry


def _is_here(server: RunningServer) -> bool:
    """Whether the server's hosts are the launcher's: it was started, or listens on this machine."""
    host = urlsplit(server.url).hostname or ""
    return bool(server.plan.processes) or on_this_machine(host)


def measure_idle(run: RunContext, telemetry: Telemetry) -> Metrics:
    """The power of each domain while the server gets no requests, in W; empty, and without a wait,
    if no source measures power.
    """
    seconds = run.plan.resolved.suite.telemetry.idle_s
    if not seconds or not telemetry.reads_power:
        return {}
    # Imports numpy, which takes 0.1 s.
    from .devices import Window, idle_power

    start = time.monotonic_ns()
    run.display.note("measuring the power without load", seconds=seconds)
    while time.monotonic_ns() < start + int(seconds * 1e9) and not run.interrupted():
        time.sleep(_POLL_S)
    end = time.monotonic_ns()
    return idle_power(Window.of(telemetry.readings(start, end), start, end))


def _record_devices(run: RunContext, deployment: PlannedDeployment) -> None:
    """Record the deployment's devices, and what cannot be measured on them."""
    for key, text in device_facts(deployment.devices).items():
        run.facts[f"deployment.{deployment.id}.device.{key}"] = text
    _record_probe(run, deployment.hardware.name, deployment.probe)


def _record_devices_of(
    run: RunContext,
    deployment: PlannedDeployment,
    source: str,
    devices: Sequence[DeviceInfo],
    probe: Probe,
) -> None:
    """Record the devices of another host, and what of their settings distorts a measurement."""
    for key, text in device_facts(devices).items():
        run.facts[f"deployment.{deployment.id}.device.{source}.{key}"] = text
    # The engine uses them by now, and names of its processes are not known here.
    idle = [attrs.evolve(device, pids=None, memory_used_bytes=None) for device in devices]
    for problem in device_problems(idle, source, probe.fixes):
        run.note(f"before the run: {problem.what}; to fix: {problem.fix}")
        run.display.note(f"warning: {problem.what}", fix=problem.fix)
    run.directory.write_json("provenance.json", run.facts)


def _record_probe(run: RunContext, name: str, probe: Probe) -> None:
    run.facts.update({f"not_measured.{name}.{f}": why for f, why in probe.notes.items()})
    run.facts.update({f"hardware.{name}.{key}": text for key, text in probe.facts.items()})
    run.directory.write_json("provenance.json", run.facts)
    # Of these fields, reports have columns only for power and energy.
    missing = {f: probe.notes[f] for f in ("power_w", "energy_j") if f in probe.notes}
    for why in dict.fromkeys(missing.values()):
        fields = " and ".join(field for field, text in missing.items() if text == why)
        run.note(f"{name}: {fields} not measured: {why}")


def _watch_own(
    run: RunContext,
    deployment: PlannedDeployment,
    ref: PluginRef,
    server: RunningServer,
    host: Host,
    agent: NodeAgent,
    telemetry: Telemetry,
) -> None:
    """Sample the deployment's own hardware."""
    program = run.plugins.hardware(ref).program()
    if program is None:
        return
    owner = run.plugins.owner("hardware", ref.key)
    running = RunningProgram(agent, owner, program)
    placements = [p for p in server.deployment.placements if p.host.name == host.name]
    devices = deployment.devices
    if not (agent.is_here and devices):
        used = {handle for placement in placements for handle in placement.devices}
        probe = running.probe()
        _record_probe(run, source_name(ref.name, host.name), probe)
        found = probe.devices
        devices = tuple(d for d in found if (d.handle or str(d.index)) in used)
        if not deployment.accelerated:
            devices = found
        _record_devices_of(run, deployment, source_name(ref.name, host.name), devices, probe)
    layout = deployment.request.layout
    roles = {
        device.index: layout.role_of(placement.role)
        for placement in placements
        for device in devices
        if (device.handle or str(device.index)) in placement.devices
    }
    if not devices:
        return
    telemetry.devices[host.name, ref.name] = devices
    watched = Watched(
        hardware=ref.name,
        owner=owner,
        domain=run.plugins.spec("hardware", ref.key).domain,
        devices=tuple(device.index for device in devices),
        roles=roles,
    )
    telemetry.watch(agent, running, watched)


def _other_plugins(run: RunContext, deployment: PlannedDeployment) -> Iterator[_Plugin]:
    """Plugins that are sampled besides that of the deployment."""
    asked = run.plan.resolved.suite.telemetry.watch
    if asked is not None:
        yield from (_Plugin(run.plugins, ref) for ref in asked if ref != deployment.hardware)
        return
    # A separate registry: hooks of plugins that the user did not name must not be called.
    apart = PluginInstances(run.plugins.registry.apart())
    for candidate in apart.registry.candidates:
        if candidate.kind == "hardware" and candidate.name != deployment.hardware.name:
            ref = PluginRef.of(candidate.key)
            try:
                spec = apart.spec("hardware", ref.key)
            except BenchError:
                continue  # `bench plugins list` shows the error.
            if not spec.accelerated:
                yield _Plugin(apart, ref, asked=False)


def _watch_other(run: RunContext, plugin: _Plugin, agent: NodeAgent, telemetry: Telemetry) -> None:
    """Sample the devices that another plugin finds on the host."""
    ref, instances = plugin.ref, plugin.instances
    owner = instances.owner("hardware", ref.key)
    try:
        program = instances.hardware(ref).program()
        if program is None:
            return
        running = RunningProgram(agent, owner, program)
        probe = running.probe()
        _record_other(run, plugin, agent, probe)
        if probe.devices:
            devices = tuple(device.index for device in probe.devices)
            domain = instances.spec("hardware", ref.key).domain
            watched = Watched(hardware=ref.name, owner=owner, domain=domain, devices=devices)
            telemetry.watch(agent, running, watched)
    except BenchError as error:
        if plugin.asked:
            raise
        run.note(f"{ref.name} is not sampled: {error.message}")


def _record_other(run: RunContext, plugin: _Plugin, agent: NodeAgent, probe: Probe) -> None:
    name = plugin.ref.name
    facts: Mapping[str, str] = probe.facts
    for key, text in facts.items():
        run.facts[f"hardware.{source_name(name, agent.host)}.{key}"] = text
    if plugin.asked and not probe.devices:
        run.note(f"{name} is not sampled: {probe.reason} ({probe.hint})")
