"""TPU chips of this host: PCI devices in /sys, or device nodes and what the environment says.

Sources, read 2026-11: tpu-info 0.14.2, `device.py` (PCI ids, functions and cores, the order of
chips, device nodes); Google Cloud's TPU pages (accelerator types).
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

from .host import Users, entries, number, pcie, root, target, text

_GOOGLE = "0x1ae0"
# PCI device ids: the name and the catalogue's name.
_PCI_IDS = {
    "0x0027": ("Google TPU v2 or v3", None),
    "0x005e": ("Google TPU v4", None),
    "0x0063": ("Google TPU v5e", "tpuv5e"),
    "0x0062": ("Google TPU v5p", "tpuv5p"),
    "0x006f": ("Google TPU v6e", "tpuv6e"),
    "0x0076": ("Google TPU7x", "tpuv7"),
}
# Beginnings of TPU_ACCELERATOR_TYPE.
_TYPES = {
    "v5litepod": "0x0063",
    "v5e": "0x0063",
    "v5p": "0x0062",
    "v6e": "0x006f",
    "tpu7x": "0x0076",
    "v7x": "0x0076",
    "v4": "0x005e",
}
# Recorded for provenance: the slice, and this host's place in it.
_ENVIRONMENT = (
    "TPU_ACCELERATOR_TYPE",
    "TPU_TOPOLOGY",
    "TPU_WORKER_ID",
    "TPU_CHIPS_PER_HOST_BOUNDS",
    "TPU_HOST_BOUNDS",
    "TPU_CHIPS_PER_PROCESS_BOUNDS",
    "TPU_PROCESS_BOUNDS",
    "TPU_VISIBLE_CHIPS",
)
_NOT_REPORTED = "neither tpu-info (0.14.2) nor the driver reports it"
NOTES = {
    "power_w": f"TPUs report no power to their users: {_NOT_REPORTED}",
    "energy_j": f"TPUs report no energy to their users: {_NOT_REPORTED}",
    **dict.fromkeys(
        ("temperature_c", "memory_temperature_c", "clock_hz", "memory_clock_hz"), _NOT_REPORTED
    ),
    "throttle": "only the process that uses the TPU can ask libtpu for a throttle score",
}
_NO_TOOL = "tpu-info is not in PATH (pip install tpu-info)"


class Chip:
    """A chip: its PCI functions (one a core), their folders in /sys and their device nodes."""

    def __init__(self, device: str, folders: list[Path], nodes: list[str]) -> None:
        self.device = device
        self.folders = folders
        self.nodes = nodes


def find_chips(options: dict[str, Any]) -> list[Chip]:
    """In the order of tpu-info: by device node."""
    chips: dict[str, Chip] = {}
    for folder in entries(root(options, "sys") / "bus/pci/devices"):
        device = text(folder / "device") or ""
        if text(folder / "vendor") != _GOOGLE or device not in _PCI_IDS:
            continue
        address = folder.name.split(".")[0]
        chip = chips.setdefault(address, Chip(device, [], []))
        chip.folders.append(folder)
        chip.nodes.extend(_nodes(folder))
    return sorted(chips.values(), key=_order) or _from_environment(options)


def _nodes(folder: Path) -> list[str]:
    """The node of a PCI function: /dev/vfio/N since v5e, /dev/accelN of the older driver."""
    accel = [entry.name for entry in entries(folder / "accel")]
    group = target(folder / "iommu_group")
    if accel or group is None:
        return [f"/dev/{name}" for name in accel]
    return ["/dev/vfio/" + Path(group).name]


def _order(chip: Chip) -> tuple[int, str]:
    first = chip.nodes[0] if chip.nodes else ""
    numbers = re.findall(r"\d+$", first)
    return (int(numbers[0]) if numbers else 1 << 30, chip.folders[0].name)


def _from_environment(options: dict[str, Any]) -> list[Chip]:
    """Chips of which only the device nodes are seen, as in some containers.

    VFIO nodes may belong to other devices: the environment must name a TPU.
    """
    device = _environment_device()
    if device is None:
        return []
    dev = root(options, "dev")
    accel = [f"/dev/{e.name}" for e in entries(dev) if re.fullmatch(r"accel\d+", e.name)]
    vfio = [f"/dev/vfio/{e.name}" for e in entries(dev / "vfio") if e.name.isdecimal()]
    nodes = sorted(accel or vfio, key=lambda node: int(re.findall(r"\d+$", node)[0]))
    cores = 2 if device == "0x0076" and not accel else 1
    groups = [nodes[at : at + cores] for at in range(0, len(nodes), cores)]
    return [Chip(device, [], group) for group in groups]


def _environment_device() -> str | None:
    """The PCI id of the chips that TPU_ACCELERATOR_TYPE names."""
    accelerator = os.environ.get("TPU_ACCELERATOR_TYPE", "").lower()
    return next((pci for start, pci in _TYPES.items() if accelerator.startswith(start)), None)


def probe(options: dict[str, Any]) -> dict[str, Any]:
    """The chips as a dict with the fields of Probe. Never raises."""
    try:
        return _probe(options)
    except Exception as error:
        return {
            "reason": f"looking for TPUs failed: {error!r}",
            "hint": "look for them with lspci -d 1ae0: and tpu-info",
        }


def _probe(options: dict[str, Any]) -> dict[str, Any]:
    chips = find_chips(options)
    if not chips:
        return _none_here()
    users = Users(options)
    notes = dict(NOTES)
    if shutil.which("tpu-info") is None:
        notes.update(dict.fromkeys(("utilization", "memory_used_bytes"), _NO_TOOL))
    if not users.complete:
        notes["pids"] = "other users' processes, or those outside of a container, are not seen"
    return {
        "devices": [_device(number_of, chip, users) for number_of, chip in enumerate(chips)],
        "notes": notes,
        "facts": {name: os.environ[name] for name in _ENVIRONMENT if os.environ.get(name)},
    }


def _none_here() -> dict[str, Any]:
    accelerator = os.environ.get("TPU_ACCELERATOR_TYPE")
    if accelerator:
        return {
            "reason": f"TPU_ACCELERATOR_TYPE is {accelerator}, but neither a TPU's PCI device nor "
            "its device nodes are here",
            "hint": "pass /dev/vfio (v4 and older: /dev/accel*) into the container, and /sys",
        }
    return {
        "reason": "no TPU on this machine: no PCI device of v5e, v5p, v6e or TPU7x",
        "hint": "use a TPU VM; in a container, set TPU_ACCELERATOR_TYPE and pass /dev/vfio in",
    }


def _device(number_of: int, chip: Chip, users: Users) -> dict[str, Any]:
    """One chip, in the fields of DeviceInfo. What is unknown is left out."""
    name, sku = _PCI_IDS[chip.device]
    found: dict[str, Any] = {"index": number_of, "name": name, "sku": sku}
    found["pids"] = users.pids(chip.nodes) if chip.nodes else None
    if chip.folders:
        first = chip.folders[0]
        found["pci"] = first.name
        found["numa_node"] = number(first / "numa_node")
        found["pcie"] = pcie(first) or None
        driver = target(first / "driver")
        found["driver"] = Path(driver).name if driver else None
    return {key: value for key, value in found.items() if value is not None}
