"""The hardware of a deployment: what this machine has, or accelerators of a SKU."""

from __future__ import annotations

import attrs

from tokenbench.api import DeviceInfo, HardwareAbsent, HardwareFacts, Probe, Sku, UsageError
from tokenbench.plugins.catalogue import CatalogueEntry, read_catalogue
from tokenbench.plugins.instances import PluginInstances
from tokenbench.suite.places import Places
from tokenbench.suite.schema import PluginRef, SkuRef

from .probe import Prober, hardware_facts


@attrs.frozen(kw_only=True)
class ResolvedHardware:
    """The hardware that was asked for.

    `sku`: accelerators of that SKU; None for whatever this machine has. `count`: how many there
    are; None for as many as the topology needs.
    """

    plugin: PluginRef
    sku: Sku | None = None
    count: int | None = None


@attrs.frozen(kw_only=True)
class PlannedHardware:
    """What a deployment is planned for: facts, and the devices if they were looked for."""

    facts: HardwareFacts
    probe: Probe
    devices: tuple[DeviceInfo, ...]
    notes: tuple[str, ...] = ()


def resolve_hardware(
    asked: PluginRef | SkuRef, plugins: PluginInstances, places: Places, path: str
) -> ResolvedHardware:
    """Find the plugin, and the SKU if it is one that was asked for.

    Raises:
        UsageError: there is no such plugin or SKU, or its plugin does not take the options.
        PluginError: it is broken, or several distributions have it.
    """
    if isinstance(asked, PluginRef) and not _may_be_sku(asked, plugins):
        plugins.options("hardware", asked, where=places.of_options("hardware", asked.key, path))
        return ResolvedHardware(plugin=asked)
    entry = _entry(asked, plugins, places(path))
    if not entry.accelerated:
        raise UsageError(
            f"{places(path)}: {asked.name!r} has no accelerators to plan for",
            hint=f"name its plugin: {entry.plugin.key}",
        )
    plugins.options("hardware", entry.plugin)
    count = asked.count if isinstance(asked, SkuRef) else None
    return ResolvedHardware(plugin=entry.plugin, sku=entry.sku, count=count)


def _may_be_sku(asked: PluginRef, plugins: PluginInstances) -> bool:
    """Without options, and not the name of a plugin."""
    return not asked.options and asked.name not in plugins.registry.names("hardware")


def _entry(asked: PluginRef | SkuRef, plugins: PluginInstances, place: str) -> CatalogueEntry:
    catalogue = read_catalogue(plugins.registry)
    names = plugins.registry.names("hardware")
    try:
        return catalogue.find(asked.name, asked.distribution)
    except UsageError as error:
        if isinstance(asked, SkuRef):
            hint = error.hint
            if asked.name in names:
                hint = f"`--hardware {asked.name}` takes what this machine has; {hint}"
            raise UsageError(f"{place}: {error.message}", hint=hint) from None
        raise UsageError(
            f"{place}: unknown hardware {asked.key!r}",
            hint=f"{error.hint}; plugins: {', '.join(names)}",
        ) from None


def plan_hardware(
    hardware: ResolvedHardware,
    prober: Prober,
    *,
    accelerated: bool,
    accelerators: int,
    by_catalogue: bool,
    place: str,
    chosen: tuple[int, ...] = (),
    elsewhere: bool = False,
) -> PlannedHardware:
    """The facts for `accelerators` accelerators, from the catalogue or from this machine.

    Args:
        by_catalogue: do not look for accelerators of a SKU on this machine.
        chosen: indexes of the devices to use, in this order; empty for all.
        elsewhere: it is on other hosts, which are not asked while planning.
        place: where the user wrote the hardware, for errors.

    Raises:
        UsageError: the topology needs more than there are of the SKU.
        HardwareAbsent: this machine does not have them.
    """
    sku = hardware.sku
    if sku is None and elsewhere:
        name = hardware.plugin.name
        return PlannedHardware(
            facts=HardwareFacts(kind=name, sku=name, count=accelerators),
            probe=Probe(reason="it is on other hosts"),
            devices=(),
        )
    if sku is None:
        probe = _chosen(prober(hardware.plugin), chosen, place)
        facts = hardware_facts(
            hardware.plugin, probe, accelerated=accelerated, accelerators=accelerators
        )
        facts = attrs.evolve(facts, chip=prober.sku(hardware.plugin, facts.sku))
        return PlannedHardware(facts=facts, probe=probe, devices=probe.devices[: facts.count])
    count = accelerators if hardware.count is None else hardware.count
    if accelerators > count:
        raise UsageError(
            f"{place}: the topology needs {accelerators} accelerators, "
            f"but only {count} x {sku.name} are given",
            hint=f"use a smaller topology, or {sku.name}:{accelerators} as the hardware",
        )
    facts = HardwareFacts(kind=hardware.plugin.name, sku=sku.name, count=accelerators, chip=sku)
    if by_catalogue:
        probe = Probe(reason=f"{sku.name} is planned from the catalogue")
        return PlannedHardware(
            facts=facts,
            probe=probe,
            devices=(),
            notes=_notes(sku.name, accelerators, count, elsewhere),
        )
    probe = _chosen(prober(hardware.plugin), chosen, place)
    devices = tuple(device for device in probe.devices if device.sku == sku.name)
    if len(devices) < count:
        raise _absent(sku.name, count, len(devices), probe)
    return PlannedHardware(facts=facts, probe=probe, devices=devices[:accelerators])


def _chosen(probe: Probe, chosen: tuple[int, ...], place: str) -> Probe:
    """The probe with the chosen devices only."""
    if not chosen:
        return probe
    devices = {device.index: device for device in probe.devices}
    for index in chosen:
        if index not in devices:
            known = ", ".join(map(str, devices)) or "none"
            raise HardwareAbsent(
                f"{place}: this machine has no device {index}",
                hint=f"devices: {known}; `bench doctor` shows them",
            )
    return attrs.evolve(probe, devices=tuple(devices[index] for index in dict.fromkeys(chosen)))


def _notes(name: str, used: int, count: int, elsewhere: bool) -> tuple[str, ...]:
    where = "the launcher's hosts" if elsewhere else "this machine"
    planned = f"planned from the catalogue: `bench run` needs {count} x {name} on {where}"
    if used == count:
        return (planned,)
    return (planned, f"{used} of {count} x {name} are used; a larger topology (--tp) uses more")


def _absent(name: str, wanted: int, have: int, probe: Probe) -> HardwareAbsent:
    if have:
        why = f"{have} found"
    elif probe.devices:
        others = sorted({device.sku or device.name for device in probe.devices})
        why = f"it has {', '.join(others)}"
    else:
        why = probe.reason or "none was found"
    return HardwareAbsent(
        f"this machine does not have {wanted} x {name}: {why}",
        hint="`bench plan` needs no hardware; to run, name what this machine has with --hardware",
    )
