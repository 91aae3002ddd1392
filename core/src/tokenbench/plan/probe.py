"""The hardware of this machine, probed once per plugin while planning."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from tokenbench.api import HardwareAbsent, HardwareFacts, PluginError, Probe, Sku
from tokenbench.launch.node.client import AgentError, NodeAgent
from tokenbench.launch.node.program import RunningProgram
from tokenbench.plugins.instances import PluginInstances
from tokenbench.suite.schema import PluginRef


class Prober:
    """Probes each hardware plugin once."""

    def __init__(self, plugins: PluginInstances) -> None:
        self._plugins = plugins
        self._probes: dict[PluginRef, Probe] = {}

    def sku(self, ref: PluginRef, name: str) -> Sku | None:
        """The SKU of that name in the plugin's catalogue, if it has figures."""
        found = [sku for sku in self._plugins.hardware(ref).catalogue() if sku.name == name]
        return found[0] if found and found[0].figures() else None

    def __call__(self, ref: PluginRef) -> Probe:
        """What is on this machine, with the catalogue's name of each device."""
        if ref not in self._probes:
            with local_agent() as agent:
                self._probes[ref] = probe_on(agent, self._plugins, ref)
        return self._probes[ref]


def local_agent() -> NodeAgent:
    """A node agent on this machine.

    Raises:
        PluginError: it does not start.
    """
    try:
        return NodeAgent()
    except AgentError as error:
        raise PluginError(
            f"the node agent did not start: {error}", hint="report it to tokenbench"
        ) from error


def probe_on(agent: NodeAgent, plugins: PluginInstances, ref: PluginRef) -> Probe:
    """What a hardware plugin finds on the host of an agent, with the catalogue's names.

    Raises:
        PluginError: the plugin failed.
    """
    hardware = plugins.hardware(ref)
    program = hardware.program()
    if program is None:
        return Probe(
            reason="the plugin has a catalogue only, it does not look for devices",
            hint="it serves plans from the catalogue only: bench plan --hardware SKU:8",
        )
    found = RunningProgram(agent, plugins.owner("hardware", ref.key), program).probe()
    return _with_skus(found, hardware.catalogue())


def _with_skus(probe: Probe, catalogue: Sequence[Sku]) -> Probe:
    names = {alias: sku.name for sku in catalogue for alias in sku.aliases}
    devices = tuple(
        attrs.evolve(device, sku=device.sku or names.get(device.name.lower()))
        for device in probe.devices
    )
    return attrs.evolve(probe, devices=devices)


def hardware_facts(
    ref: PluginRef, probe: Probe, *, accelerated: bool, accelerators: int
) -> HardwareFacts:
    """The facts of the first `accelerators` devices; of the host, if `accelerated` is False. Then
    an accelerator is a rank.

    Raises:
        HardwareAbsent: there are fewer, none, or they differ.
    """
    if not probe.devices:
        raise HardwareAbsent(
            f"no {ref.name} hardware on this machine: {probe.reason or 'none was found'}",
            hint=probe.hint or "name other hardware with --hardware",
        )
    if not accelerated:
        sku = probe.devices[0].sku or ref.name
        return HardwareFacts(kind=ref.name, sku=sku, count=accelerators)
    if len(probe.devices) < accelerators:
        raise HardwareAbsent(
            f"{accelerators} accelerators requested, {len(probe.devices)} available",
            hint="use a smaller topology",
        )
    names = {device.sku or device.name for device in probe.devices[:accelerators]}
    if len(names) > 1:
        raise HardwareAbsent(
            f"the accelerators differ: {', '.join(sorted(names))}",
            hint="use a smaller topology, so that accelerators of one kind are enough",
        )
    return HardwareFacts(kind=ref.name, sku=names.pop(), count=accelerators)
