"""The hardware of this host, as facts for a plan."""

from __future__ import annotations

import attrs

from tokenbench.api import Hardware, HardwareAbsent, HardwareFacts, Probe
from tokenbench.plugins.instances import PluginInstances
from tokenbench.suite.schema import PluginRef


class Prober:
    """Asks each hardware plugin once. Called with a choice and a number of accelerators."""

    def __init__(self, plugins: PluginInstances) -> None:
        self._plugins = plugins
        self.probes: dict[PluginRef, Probe] = {}

    def __call__(self, ref: PluginRef, accelerators: int) -> HardwareFacts:
        """The facts of `accelerators` devices (of the host, for hardware without devices).

        Raises:
            HardwareAbsent: there are fewer, or none.
        """
        spec = self._plugins.spec("hardware", ref.key)
        probe = self.probes.get(ref)
        if probe is None:
            probe = self.probes[ref] = _known(self._plugins.hardware(ref))
        if not probe.devices:
            raise HardwareAbsent(
                f"no {ref.name} hardware on this machine: {probe.reason or 'none was found'}",
                hint=probe.hint or "name other hardware with --hardware",
            )
        if not spec.accelerated:
            return HardwareFacts(kind=ref.name, sku=probe.devices[0].sku or ref.name)
        if len(probe.devices) < accelerators:
            raise HardwareAbsent(
                f"{accelerators} accelerators are asked for, {len(probe.devices)} are here",
                hint="ask for a smaller topology",
            )
        names = {device.sku or device.name for device in probe.devices[:accelerators]}
        if len(names) > 1:
            raise HardwareAbsent(
                f"the accelerators differ: {', '.join(sorted(names))}",
                hint="ask for fewer, so that those of one kind are enough",
            )
        return HardwareFacts(kind=ref.name, sku=names.pop(), count=accelerators)


def _known(hardware: Hardware) -> Probe:
    """A probe in which devices that only have a driver's name are found in the catalogue."""
    probe = hardware.probe()
    names = {alias: sku.name for sku in hardware.catalogue() for alias in sku.aliases}
    devices = tuple(
        attrs.evolve(device, sku=device.sku or names.get(device.name.lower()))
        for device in probe.devices
    )
    return attrs.evolve(probe, devices=devices)


def prober(plugins: PluginInstances) -> Prober:
    """A prober over the catalog's hardware plugins."""
    return Prober(plugins)
