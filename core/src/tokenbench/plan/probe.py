"""The hardware of this host, as facts for a plan."""

from __future__ import annotations

import attrs

from tokenbench.api import Hardware, HardwareAbsent, HardwareFacts, Probe
from tokenbench.suite.schema import Chosen

from .catalog import Catalog


class Prober:
    """Asks each hardware plugin once. Called with a choice and a number of accelerators."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.probes: dict[Chosen, Probe] = {}

    def __call__(self, chosen: Chosen, accelerators: int) -> HardwareFacts:
        """The facts of `accelerators` devices (of the host, for hardware without devices).

        Raises:
            HardwareAbsent: there are fewer, or none.
        """
        spec = self._catalog.spec("hardware", chosen.key)
        probe = self.probes.get(chosen)
        if probe is None:
            probe = self.probes[chosen] = _known(self._catalog.hardware(chosen))
        if not probe.devices:
            raise HardwareAbsent(
                f"no {chosen.name} hardware on this machine: {probe.reason or 'none was found'}",
                hint=probe.hint or "name other hardware with --hardware",
            )
        if not spec.accelerated:
            return HardwareFacts(kind=chosen.name, sku=probe.devices[0].sku or chosen.name)
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
        return HardwareFacts(kind=chosen.name, sku=names.pop(), count=accelerators)


def _known(hardware: Hardware) -> Probe:
    """A probe in which devices that only have a driver's name are found in the catalogue."""
    probe = hardware.probe()
    names = {alias: sku.name for sku in hardware.catalogue() for alias in sku.aliases}
    devices = tuple(
        attrs.evolve(device, sku=device.sku or names.get(device.name.lower()))
        for device in probe.devices
    )
    return attrs.evolve(probe, devices=devices)


def prober(catalog: Catalog) -> Prober:
    """A prober over the catalog's hardware plugins."""
    return Prober(catalog)
