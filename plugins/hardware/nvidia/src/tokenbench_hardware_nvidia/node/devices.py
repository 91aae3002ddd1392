"""The description of each device in a probe."""

from __future__ import annotations

import os
from typing import Any, Callable

from .health import fabric, faults
from .nvml import Nvml, QueryError
from .processes import pids
from .units import Unit, memory

SYSFS = "/sys/bus/pci/devices"
_CLOCK_GRAPHICS, _CLOCK_SM = 0, 1  # nvmlClockType_t
_APPLICATION_CLOCKS = 0x2  # nvmlClocksEventReasonApplicationsClocksSetting
_MOST_LINKS = 36  # NVML_NVLINK_MAX_LINKS in the header of driver 595 (18 before)


class Description:
    """The fields of one device. `missing` has NVML's message by field that could not be read."""

    def __init__(self, nvml: Nvml, unit: Unit) -> None:
        self.fields: dict[str, Any] = {"index": unit.device}
        self.missing: dict[str, str] = {}
        self.lost: str | None = None
        self._nvml = nvml
        self._unit = unit

    def read(self) -> None:
        """Ask for everything."""
        self._names()
        self._add("memory_bytes", lambda: int(self._memory().total))
        self._add("memory_used_bytes", lambda: int(self._memory().used))
        if not self._unit.is_instance:
            self._add("power_limit_w", self._power_limit)
            self._add(
                "default_power_limit_w",
                lambda: self._ask("nvmlDeviceGetPowerManagementDefaultLimit") / 1e3,
            )
            self._add(
                "max_clock_hz", lambda: self._ask("nvmlDeviceGetMaxClockInfo", _CLOCK_SM) * 1e6
            )
            self._add("clocks_locked", self._clocks_locked)
            self._add("scale_up_links", self._links)
            self._add("fabric", lambda: fabric(self._nvml, self._unit.board))
        self._add("ecc", lambda: bool(self._ask("nvmlDeviceGetEccMode")[0]))
        self._add("persistence", lambda: bool(self._ask("nvmlDeviceGetPersistenceMode")))
        self._add("pids", lambda: pids(self._nvml, self._unit.handle))
        self._pcie()
        self._health()

    def _ask(self, function: str, *args: Any) -> Any:
        return self._nvml.ask(function, self._unit.board, *args)

    def _add(self, field: str, read: Callable[[], Any]) -> None:
        if self.lost is not None:
            return
        try:
            value = read()
        except QueryError as error:
            self._failed(field, error)
        else:
            if value is not None:
                self.fields[field] = value

    def _failed(self, field: str, error: QueryError) -> None:
        self.missing[field] = f"NVML: {error.reason}"
        if error.gone:
            self.lost = error.reason

    def _memory(self) -> Any:
        return memory(self._nvml, self._unit.handle)

    def _names(self) -> None:
        nvml, unit = self._nvml, self._unit
        self.fields["name"] = "unknown NVIDIA GPU"
        self._add("name", lambda: " ".join(nvml.ask("nvmlDeviceGetName", unit.handle).split()))
        self._add("uuid", lambda: nvml.ask("nvmlDeviceGetUUID", unit.handle))
        self._add("pci", self._pci)
        self._add("firmware", lambda: self._ask("nvmlDeviceGetVbiosVersion"))
        if unit.is_instance:
            if "uuid" in self.fields:
                self.fields["handle"] = self.fields["uuid"]
            self._add("partition", self._partition)
            partition = self.fields.get("partition", "MIG")
            if partition not in self.fields["name"]:
                self.fields["name"] = f"{self.fields['name']} {partition}"

    def _partition(self) -> str:
        # "NVIDIA H200 MIG 3g.71gb"
        _, found, profile = self.fields["name"].rpartition(" MIG ")
        if found:
            return f"MIG {profile}"
        attributes = self._nvml.ask("nvmlDeviceGetAttributes_v2", self._unit.handle)
        slices, gib = attributes.gpuInstanceSliceCount, attributes.memorySizeMB / 1024
        return f"MIG {slices}g.{round(gib)}gb"

    def _pci(self) -> str:
        found = self._ask("nvmlDeviceGetPciInfo")
        place = f"{found.domain:04x}:{found.bus:02x}:{found.device:02x}.0"
        node = _numa_node(place)
        if node is not None:
            self.fields["numa_node"] = node
        return place

    def _power_limit(self) -> float:
        """What the driver enforces, if that is less than what someone set."""
        limits = []
        errors = []
        for function in ("nvmlDeviceGetPowerManagementLimit", "nvmlDeviceGetEnforcedPowerLimit"):
            try:
                limits.append(self._ask(function))
            except QueryError as error:
                errors.append(error)
        if not limits:
            raise errors[0]
        return float(min(limits) / 1e3)

    def _clocks_locked(self) -> bool | None:
        """True if the clocks for applications differ from their default, or limit the clock now.

        NVML cannot say whether clocks are locked by ``nvidia-smi --lock-gpu-clocks`` (it has a
        function to lock and one to reset, none to ask): otherwise unknown.
        """
        try:
            now = self._ask("nvmlDeviceGetApplicationsClock", _CLOCK_GRAPHICS)
            default = self._ask("nvmlDeviceGetDefaultApplicationsClock", _CLOCK_GRAPHICS)
        except QueryError as error:
            if error.gone:
                raise
        else:
            if now != default:
                return True
        bits = self._nvml.first(
            self._unit.board,
            (
                lambda nvml, it: nvml.ask("nvmlDeviceGetCurrentClocksEventReasons", it),
                lambda nvml, it: nvml.ask("nvmlDeviceGetCurrentClocksThrottleReasons", it),
            ),
        )
        return True if bits & _APPLICATION_CLOCKS else None

    def _links(self) -> int:
        """Active NVLinks."""
        states = []
        failed = None
        for link in range(_MOST_LINKS):
            try:
                states.append(self._ask("nvmlDeviceGetNvLinkState", link))
            except QueryError as error:
                failed = error
                if not states:
                    break
        if not states and failed is not None:
            raise failed
        return sum(map(bool, states))

    def _pcie(self) -> None:
        link: dict[str, int] = {}
        for field, function in (
            ("generation", "nvmlDeviceGetCurrPcieLinkGeneration"),
            ("max_generation", "nvmlDeviceGetMaxPcieLinkGeneration"),
            ("width", "nvmlDeviceGetCurrPcieLinkWidth"),
            ("max_width", "nvmlDeviceGetMaxPcieLinkWidth"),
        ):
            try:
                link[field] = self._ask(function)
            except QueryError as error:
                self._failed(f"pcie.{field}", error)
        if link:
            self.fields["pcie"] = link

    def _health(self) -> None:
        found, errors = faults(self._nvml, self._unit.board)
        if found:
            self.fields["faults"] = found
        for error in errors:
            self._failed("faults", error)


def _numa_node(place: str) -> int | None:
    try:
        with open(os.path.join(SYSFS, place, "numa_node"), encoding="ascii") as file:
            node = int(file.read())
    except (OSError, ValueError):
        return None
    # The kernel says -1 if it does not know.
    return node if node >= 0 else None
