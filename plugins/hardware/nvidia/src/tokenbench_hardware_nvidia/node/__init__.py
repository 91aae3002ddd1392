"""Finds and samples the NVIDIA GPUs of a host.

Runs on the host without tokenbench: Python 3.8, the standard library and pynvml. `options` may have
``dcgm``: the address of a page of dcgm-exporter, which is read instead of NVML for the samples.
"""

from __future__ import annotations

import time
from typing import Any, Iterable, Mapping, Sequence

from .dcgm import DcgmSampler, notes_of_page
from .devices import Description
from .nvml import Absent, Nvml, QueryError, open_nvml
from .readings import Reader
from .units import Units, find

# Options of nvidia-smi, `nvidia-smi --help` of driver 580 (read 2026-11).
FIXES = {
    "power_limit_w": "nvidia-smi -i {index} -pl {default_power_limit_w:.0f}",
    "clocks_locked": "nvidia-smi -i {index} --reset-gpu-clocks",
    "persistence": "nvidia-smi -pm 1",
}

_RETRY_S = 1.0


def probe(options: Mapping[str, Any]) -> dict[str, Any]:
    """The GPUs of this host. Without any, a reason; never an exception."""
    nvml = open_nvml()
    if isinstance(nvml, Absent):
        return {"devices": [], "reason": nvml.reason, "hint": nvml.hint}
    try:
        return _probe(nvml, options.get("dcgm"))
    except QueryError as error:
        return {
            "devices": [],
            "reason": f"the NVIDIA driver does not list its GPUs (NVML: {error.reason})",
            "hint": "check the driver with nvidia-smi",
        }
    except Exception as error:
        return {
            "devices": [],
            "reason": f"unexpected answer of the NVIDIA driver ({error!r})",
            "hint": "compare with nvidia-smi; a newer nvidia-ml-py may support this driver",
        }
    finally:
        nvml.close()


def sampler(options: Mapping[str, Any], devices: Iterable[int]) -> Any:
    """A sampler of these devices; None without a driver."""
    nvml = open_nvml()
    if isinstance(nvml, Absent):
        return None
    found = NvmlSampler(nvml, list(devices))
    return DcgmSampler(options["dcgm"], found) if options.get("dcgm") else found


class NvmlSampler:
    """Reads each field separately: a failing field does not affect others."""

    def __init__(self, nvml: Nvml, devices: Sequence[int]) -> None:
        self.nvml = nvml
        self.devices = devices
        self.readers: dict[int, Reader] = {}
        self.absent: dict[int, str] = {}
        self._looked_at = float("-inf")
        self.look()

    def sample(self) -> list[dict[str, Any]]:
        """One reading of each device."""
        self.look()
        return [
            self.readers[index].read() if index in self.readers else self.lost(index)
            for index in self.devices
        ]

    def lost(self, index: int) -> dict[str, Any]:
        """The row of a device that cannot be found."""
        return {"device": index, "lost": self.absent.get(index, "the driver does not list it")}

    def close(self) -> None:
        """Release the driver. May be called twice."""
        self.nvml.close()

    def look(self) -> None:
        """Look for devices that were not found yet, at most once a second."""
        if len(self.readers) == len(self.devices) or time.monotonic() - self._looked_at < _RETRY_S:
            return
        self._looked_at = time.monotonic()
        try:
            units = find(self.nvml)
        except QueryError as error:
            self.absent = dict.fromkeys(self.devices, error.reason)
            return
        self.absent = units.excluded
        for unit in units.found:
            if unit.device in self.devices and unit.device not in self.readers:
                self.readers[unit.device] = Reader(self.nvml, unit)


def _probe(nvml: Nvml, page: str | None) -> dict[str, Any]:
    units = find(nvml)
    readers = [Reader(nvml, unit) for unit in units.found]
    descriptions = [Description(nvml, unit) for unit in units.found]
    excluded = dict(units.excluded)
    for reader, description in zip(readers, descriptions):
        description.read()
        lost = description.lost
        if lost is None:
            lost = reader.read().get("lost") or reader.lost
        if lost is not None:
            excluded[reader.unit.board_index] = lost
    alive = [
        (reader, description)
        for reader, description in zip(readers, descriptions)
        if reader.unit.board_index not in excluded
    ]
    if not alive:
        why = "; ".join(f"device {index} {reason}" for index, reason in sorted(excluded.items()))
        return {
            "devices": [],
            "reason": f"the NVIDIA driver has no working GPU ({why or 'it has no GPU'})",
            "hint": "check it with nvidia-smi; a lost GPU needs a reset or a reboot",
        }
    readers = [reader for reader, _ in alive]
    devices = [description.fields for _, description in alive]
    _set_handles(devices, units, excluded)
    driver = _get(nvml, "nvmlSystemGetDriverVersion")
    if driver:
        for device in devices:
            device["driver"] = driver
    notes = _grouped({reader.unit.device: reader.missing for reader in readers})
    facts = _facts(nvml, driver, excluded)
    unread = _grouped({one.fields["index"]: one.missing for _, one in alive})
    if unread:
        facts["not read"] = ", ".join(f"{field} ({why})" for field, why in unread.items())
    if page:
        facts["samples"] = f"dcgm-exporter, {page}"
        notes = notes_of_page(page, readers, notes.get("pids"))
    return {"devices": devices, "notes": notes, "facts": facts, "fixes": FIXES}


def _set_handles(
    devices: Sequence[dict[str, Any]], units: Units, excluded: Mapping[int, str]
) -> None:
    """CUDA counts neither lost GPUs nor boards in MIG mode: with such, only a UUID is certain."""
    if excluded or units.divided:
        for device in devices:
            if "uuid" in device:
                device["handle"] = device["uuid"]


def _facts(nvml: Nvml, driver: str | None, excluded: Mapping[int, str]) -> dict[str, str]:
    facts = {f"device {index}": f"excluded: {why}" for index, why in sorted(excluded.items())}
    if driver:
        facts["driver"] = driver
    cuda = _get(nvml, "nvmlSystemGetCudaDriverVersion_v2")
    if cuda:
        facts["cuda"] = f"{cuda // 1000}.{cuda % 1000 // 10}"
    return facts


def _get(nvml: Nvml, function: str) -> Any:
    try:
        return nvml.ask(function)
    except QueryError:
        return None


def _grouped(missing: Mapping[int, Mapping[str, str]]) -> dict[str, str]:
    """Reasons by field, with the devices if not all have it."""
    by_field: dict[str, dict[str, list[int]]] = {}
    for index, reasons in missing.items():
        for field, reason in reasons.items():
            by_field.setdefault(field, {}).setdefault(reason, []).append(index)
    return {
        field: "; ".join(
            reason
            if len(indexes) == len(missing)
            else f"device {', '.join(map(str, indexes))}: {reason}"
            for reason, indexes in reasons.items()
        )
        for field, reasons in by_field.items()
    }
