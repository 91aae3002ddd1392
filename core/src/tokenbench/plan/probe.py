"""The hardware of this machine, probed once per plugin while planning."""

from __future__ import annotations

import attrs

from tokenbench.api import Hardware, HardwareAbsent, HardwareFacts, Probe
from tokenbench.plugins.instances import PluginInstances
from tokenbench.suite.schema import PluginRef


class Prober:
    """Probes each hardware plugin once."""

    def __init__(self, plugins: PluginInstances) -> None:
        self._plugins = plugins
        self._probes: dict[PluginRef, Probe] = {}

    def __call__(self, ref: PluginRef) -> Probe:
        """What is on this machine, with the catalogue's name of each device."""
        if ref not in self._probes:
            self._probes[ref] = _with_skus(self._plugins.hardware(ref))
        return self._probes[ref]


def _with_skus(hardware: Hardware) -> Probe:
    probe = hardware.probe()
    names = {alias: sku.name for sku in hardware.catalogue() for alias in sku.aliases}
    devices = tuple(
        attrs.evolve(device, sku=device.sku or names.get(device.name.lower()))
        for device in probe.devices
    )
    return attrs.evolve(probe, devices=devices)


def hardware_facts(
    ref: PluginRef, probe: Probe, *, accelerated: bool, accelerators: int
) -> HardwareFacts:
    """The facts of the first `accelerators` devices; of the whole host, if `accelerated` is False.

    Raises:
        HardwareAbsent: there are fewer, none, or they differ.
    """
    if not probe.devices:
        raise HardwareAbsent(
            f"no {ref.name} hardware on this machine: {probe.reason or 'none was found'}",
            hint=probe.hint or "name other hardware with --hardware",
        )
    if not accelerated:
        return HardwareFacts(kind=ref.name, sku=probe.devices[0].sku or ref.name)
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
