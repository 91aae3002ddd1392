"""Neuron devices of this host: from `neuron-ls --json-output`, and from the driver's files in /sys.

Sources, read 2026-11: AWS Neuron documentation, "Neuron LS User Guide" and "Neuron Sysfs User
Guide"; the Neuron driver, neuron_device.h and neuron_dhal_v*.c.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from .host import (
    Failed,
    folders,
    neuron_folders,
    number,
    pcie,
    run,
    sees_all_pids,
    sysfs,
    text,
    tool,
)

TIMEOUT_S = 10.0
# info/architecture/device_name of the driver.
SKUS = {"Trainium": "trn1", "Trainium1": "trn1", "Trainium2": "trn2", "Trainium3": "trn3"}
# PCI device ids: neuron_device.h of the driver.
_PCI_NAMES = {
    **dict.fromkeys(("0x7064", "0x7065", "0x7066", "0x7067"), "Inferentia"),
    "0x7164": "Trainium1",
    "0x7264": "Inferentia2",
    "0x7364": "Trainium2",
    "0x7564": "Trainium3",
    "0x7565": "Trainium3",
}
_FAULTS = {
    "mem_ecc_uncorrected": "uncorrected errors in device memory",
    "sram_ecc_uncorrected": "uncorrected errors in SRAM",
}
NOTES = {
    "power_w": "the Neuron driver reports no watts, only a share of the maximum, without the "
    "baseline, as minimum, maximum and mean of the past minute",
    "energy_j": "Neuron devices have no energy counter",
    **dict.fromkeys(
        ("temperature_c", "memory_temperature_c"), "the Neuron driver reports no temperature"
    ),
    **dict.fromkeys(("clock_hz", "memory_clock_hz"), "the Neuron driver reports no clock"),
    "throttle": "the Neuron driver reports no reasons for a lower clock",
}
_CHECK = "check the driver: ls /dev/neuron*, and run neuron-ls"


def probe(options: dict[str, Any]) -> dict[str, Any]:
    """The devices as a dict with the fields of Probe. Never raises."""
    try:
        return _probe(options)
    except Failed as error:
        if not neuron_folders(options):
            return _none_here(str(error))
        return {"reason": str(error), "hint": _CHECK}
    except Exception as error:
        return {"reason": f"looking for Neuron devices failed: {error!r}", "hint": _CHECK}


def _probe(options: dict[str, Any]) -> dict[str, Any]:
    program = tool(options, "neuron-ls")
    if program is None:
        here = len(neuron_folders(options))
        if not here:
            return _none_here("neither neuron-ls nor the Neuron driver is installed")
        return {
            "reason": f"the driver has {here} Neuron devices, but neuron-ls is not installed",
            "hint": "install the package aws-neuronx-tools",
        }
    listed = list_devices(program)
    if not listed:
        return _none_here("neuron-ls lists no device")
    return {
        "devices": [_device(options, entry) for entry in listed],
        "notes": _notes(options),
        "facts": _facts(options, listed),
    }


def _none_here(why: str) -> dict[str, Any]:
    return {
        "reason": f"no Neuron device on this machine: {why}",
        "hint": "use a Trn instance with the packages aws-neuronx-dkms and aws-neuronx-tools; a "
        "container needs /dev/neuron* passed in",
    }


def list_devices(program: str) -> list[dict[str, Any]]:
    """The entries of neuron-ls, by number of the device.

    Raises:
        Failed: it does not work, or prints something else.
    """
    printed = run([program, "--json-output"], TIMEOUT_S)
    try:
        found = json.loads(printed)
    except ValueError:
        raise Failed(f"neuron-ls printed no JSON: {printed.strip()[:80]!r}") from None
    if not isinstance(found, list):
        raise Failed(f"neuron-ls printed no list of devices: {printed.strip()[:80]!r}")
    listed = [entry for entry in found if isinstance(entry, dict) and index(entry) is not None]
    if found and not listed:
        raise Failed(f"neuron-ls printed entries without neuron_device: {printed.strip()[:80]!r}")
    return sorted(listed, key=lambda entry: int(entry["neuron_device"]))


def index(entry: dict[str, Any]) -> int | None:
    """A device's number."""
    return whole(entry.get("neuron_device"))


def whole(value: Any) -> int | None:
    """A JSON number, or a text with one, if it is whole and not negative."""
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if good else None


def cores(entry: dict[str, Any]) -> list[int]:
    """The NeuronCores of a device, numbered on the host. With logical NeuronCores, those.

    neuron-ls lists them since Neuron 2.25; before, only their number.
    """
    listed = entry.get("neuroncore_ids")
    if isinstance(listed, list) and listed and all(whole(core) is not None for core in listed):
        return sorted(int(core) for core in listed)
    count, first = whole(entry.get("nc_count")) or 0, index(entry) or 0
    return list(range(first * count, (first + 1) * count))


def ranges(numbers: list[int]) -> str:
    """``0-3`` for 0, 1, 2, 3, as NEURON_RT_VISIBLE_CORES takes it."""
    parts: list[list[int]] = []
    for item in numbers:
        if parts and item == parts[-1][1] + 1:
            parts[-1][1] = item
        else:
            parts.append([item, item])
    return ",".join(f"{low}" if low == high else f"{low}-{high}" for low, high in parts)


def memory_used(folder: Path) -> int | None:
    """Bytes in use on a device, of all processes: `total` of each core's device_mem."""
    used = [
        number(core / "stats/memory_usage/device_mem/total")
        for core in folders(folder, "neuron_core").values()
    ]
    values = [value for value in used if value is not None]
    return sum(values) if values and len(values) == len(used) else None


def _device(options: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """One device, in the fields of DeviceInfo. What is unknown is left out."""
    number_of = int(entry["neuron_device"])
    folder = neuron_folders(options).get(number_of)
    address = _address(entry.get("bdf"))
    chip = _chip(options, entry, folder, address)
    numbers = cores(entry)
    links = entry.get("connected_to")
    found = {
        "index": number_of,
        "name": "AWS " + chip if chip else "AWS Neuron device",
        "handle": ranges(numbers) or None,
        "sku": SKUS.get(chip or ""),
        "uuid": text(folder / "info/serial_number") if folder else None,
        "pci": address,
        "driver": text(sysfs(options) / "module/neuron/version"),
        "memory_bytes": whole(entry.get("memory_size")),
        "memory_used_bytes": memory_used(folder) if folder else None,
        "numa_node": whole(entry.get("numa_node")),
        "pcie": (pcie(options, address) or None) if address else None,
        "scale_up_links": len(links) if isinstance(links, list) else None,
        "pids": _pids(options, entry),
        "faults": (_faults(folder) or None) if folder else None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _address(bdf: Any) -> str | None:
    """A PCI address with its domain, which older versions leave out."""
    if not isinstance(bdf, str) or not bdf:
        return None
    return bdf.lower() if bdf.count(":") > 1 else "0000:" + bdf.lower()


def _chip(
    options: dict[str, Any], entry: dict[str, Any], folder: Path | None, address: str | None
) -> str | None:
    """The driver's name of the chip; else by its PCI id, or by the instance type."""
    name = text(folder / "info/architecture/device_name") if folder else None
    if name is None and address:
        device = text(sysfs(options) / "bus/pci/devices" / address / "device")
        name = _PCI_NAMES.get(device or "")
    if name is None:
        match = re.match(r"trn(\d)", str(entry.get("instance_type", "")))
        name = f"Trainium{match.group(1)}" if match else None
    return name


def _pids(options: dict[str, Any], entry: dict[str, Any]) -> list[int] | None:
    """Processes that use the device; None in a container, where their numbers differ."""
    processes = entry.get("neuron_processes")
    if processes is None and "neuron_processes" in entry:
        processes = []
    if not isinstance(processes, list) or not sees_all_pids(options):
        return None
    pids = (whole(process.get("pid")) for process in processes if isinstance(process, dict))
    return sorted({pid for pid in pids if pid is not None})


def _faults(folder: Path) -> list[str]:
    """Counters of errors, and the components that the firmware calls unhealthy (driver 2.30)."""
    hardware = folder / "stats/hardware"
    counted = ((what, number(hardware / file)) for file, what in _FAULTS.items())
    found = [f"{count} {what}" for what, count in counted if count]
    broken = text(hardware / "health_status/unhealthy_components")
    if broken and broken.lower() not in {"none", "0"}:
        found.append(f"unhealthy: {broken}")
    return found


def _notes(options: dict[str, Any]) -> dict[str, str]:
    notes = dict(NOTES)
    if tool(options, "neuron-monitor") is None:
        notes["utilization"] = "neuron-monitor is not installed (package aws-neuronx-tools)"
    if not sees_all_pids(options):
        notes["pids"] = "the driver numbers processes as the host does, this is another namespace"
    return notes


def _facts(options: dict[str, Any], listed: list[dict[str, Any]]) -> dict[str, str]:
    """For provenance."""
    lnc = {str(entry.get("logical_neuroncore_config", "")) for entry in listed}
    types = {str(entry.get("instance_type", "")) for entry in listed}
    facts = {
        "logical NeuronCore configuration": ", ".join(sorted(lnc - {""})),
        "instance type": ", ".join(sorted(types - {""})),
        "driver": text(sysfs(options) / "module/neuron/version") or "",
        "NeuronCores per device": str(len(cores(listed[0]))),
    }
    return {key: value for key, value in facts.items() if value}
