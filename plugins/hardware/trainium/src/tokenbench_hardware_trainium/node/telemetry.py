"""Readings of Neuron devices: utilization and processes of neuron-monitor's reports, memory of the
driver's files.
"""

from __future__ import annotations

import math
from typing import Any, Callable, TypeVar

from .devices import cores, list_devices, memory_used, whole
from .host import Failed, neuron_folders, sees_all_pids, tool
from .monitor import Monitor

T = TypeVar("T")
READY_S = 3.0
"""How long to wait for the first report, so that the first reading has values."""


def sampler(options: dict[str, Any], devices: list[int]) -> Sampler | None:
    """A sampler of these devices; None if neither neuron-monitor nor the driver is here."""
    program = tool(options, "neuron-monitor")
    if program is None and not neuron_folders(options):
        return None
    monitor = None if program is None else Monitor(program)
    found = Sampler(options, devices, monitor)
    if monitor is not None:
        monitor.wait(READY_S)
    return found


class Sampler:
    """Reads each field separately. A device that the driver or neuron-monitor no longer lists is
    lost.
    """

    def __init__(
        self, options: dict[str, Any], devices: list[int], monitor: Monitor | None
    ) -> None:
        self.monitor = monitor
        self._options = options
        self._devices = list(devices)
        self._sees_pids = sees_all_pids(options)
        self._cores = _cores_of_devices(options)
        self._folders = neuron_folders(options)
        self._listed: set[int] = set()

    def sample(self) -> list[dict[str, Any]]:
        """One reading of each device."""
        newest = self.monitor.newest() if self.monitor else None
        report = Report(newest) if newest is not None else None
        if report is not None:
            self._listed |= report.listed
        return [self._one(device, report) for device in self._devices]

    def close(self) -> None:
        """End neuron-monitor. May be called twice."""
        if self.monitor is not None:
            self.monitor.close()

    def _one(self, device: int, report: Report | None) -> dict[str, Any]:
        lost = self._lost(device, report)
        if lost is not None:
            return {"device": device, "lost": lost}
        found: dict[str, Any] = {"device": device}
        folder = self._folders.get(device)
        memory = memory_used(folder) if folder else None
        if report is not None:
            numbers = self._cores.get(device) or report.cores(device)
            found["utilization"] = report.utilization(numbers)
            memory = report.memory(numbers) if memory is None else memory
            found["pids"] = report.pids(numbers) if self._sees_pids else None
        found["memory_used_bytes"] = memory
        return {key: value for key, value in found.items() if value is not None}

    def _lost(self, device: int, report: Report | None) -> str | None:
        if device in self._folders and device not in neuron_folders(self._options):
            return f"the Neuron driver no longer has neuron{device}"
        if report and report.listed and device in self._listed - report.listed:
            return f"neuron-monitor no longer lists device {device}"
        return None


def _cores_of_devices(options: dict[str, Any]) -> dict[int, list[int]]:
    """By device, from neuron-ls; nothing if it does not work."""
    program = tool(options, "neuron-ls")
    if program is None:
        return {}
    try:
        return {int(entry["neuron_device"]): cores(entry) for entry in list_devices(program)}
    except Failed:
        return {}


class Report:
    """One report of neuron-monitor. A group with an error makes its field unknown.

    Cores that no process uses are not in it: they are idle. Per process, a list of cores is not yet
    a use: it may have all cores of the machine.
    """

    def __init__(self, report: dict[str, Any]) -> None:
        self._hardware = _dict(report.get("neuron_hardware_info"))
        runtimes = report.get("neuron_runtime_data")
        self._runtimes = [_Runtime(_dict(entry)) for entry in _list(runtimes)]
        counters = _dict(_dict(report.get("system_data")).get("neuron_hw_counters"))
        entries = _list(counters.get("neuron_devices")) if not counters.get("error") else []
        numbers = (whole(_dict(entry).get("neuron_device_index")) for entry in entries)
        self.listed = {number for number in numbers if number is not None}

    def cores(self, device: int) -> list[int]:
        """The cores of a device if neuron-ls did not list them."""
        count = whole(self._hardware.get("neuroncore_per_device_count")) or 0
        return list(range(device * count, (device + 1) * count))

    def utilization(self, numbers: list[int]) -> float | None:
        """The mean over these cores, as a fraction."""
        used = [runtime.used for runtime in self._runtimes]
        if not numbers or any(one is None for one in used):
            return None
        percent = (min(100.0, sum((one or {}).get(core, 0.0) for one in used)) for core in numbers)
        return max(0.0, sum(percent) / len(numbers) / 100.0)

    def memory(self, numbers: list[int]) -> int | None:
        """Bytes in use for these cores."""
        held = [runtime.memory for runtime in self._runtimes]
        if not numbers or any(one is None for one in held):
            return None
        return sum((one or {}).get(core, 0) for one in held for core in numbers)

    def pids(self, numbers: list[int]) -> list[int] | None:
        """Processes that compute on these cores or have memory there."""
        found = []
        for runtime in self._runtimes:
            if runtime.used is None or runtime.memory is None or runtime.pid is None:
                return None
            if any(runtime.used.get(core) or runtime.memory.get(core) for core in numbers):
                found.append(runtime.pid)
        return sorted(found)


class _Runtime:
    """A process that uses Neuron devices: percent and bytes by core; None if unknown."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self.pid = whole(entry.get("pid"))
        self.used: dict[int, float] | None = None
        self.memory: dict[int, int] | None = None
        if entry.get("error"):
            return
        report = _dict(entry.get("report"))
        counters = _dict(report.get("neuroncore_counters"))
        if not counters.get("error"):
            self.used = _by_core(counters.get("neuroncores_in_use"), _utilization)
        used = _dict(report.get("memory_used"))
        if not used.get("error"):
            breakdown = _dict(_dict(used.get("neuron_runtime_used_bytes")).get("usage_breakdown"))
            self.memory = _by_core(breakdown.get("neuroncore_memory_usage"), _size)


def _by_core(values: Any, read: Callable[[dict[str, Any]], T | None]) -> dict[int, T] | None:
    """A value of each core; None if one of them is unknown."""
    if not isinstance(values, dict):
        return None
    found = {int(core): read(_dict(value)) for core, value in values.items() if core.isdecimal()}
    known = {core: value for core, value in found.items() if value is not None}
    return known if len(known) == len(found) else None


def _utilization(core: dict[str, Any]) -> float | None:
    value = core.get("neuroncore_utilization")
    if isinstance(value, (int, float)) and 0 <= value < math.inf:
        return float(min(value, 100))
    return None


def _size(core: dict[str, Any]) -> int | None:
    sizes = [whole(size) for size in core.values()]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
