"""Readings of a GPU through NVML, in the units of Sample.

NVML API reference (docs.nvidia.com/deploy/nvml-api, read 2026-11): power in mW (since Ampere,
except GA100, a mean over one second), energy in mJ since the driver was loaded, clocks in MHz.
Power and energy are those of the whole board, including memory.
"""

from __future__ import annotations

import time
from typing import Any

from .nvml import Nvml, Query, QueryError
from .processes import ELSEWHERE, pids
from .units import Unit, memory

# Bits of clock event reasons (nvml.h, nvmlClocksEventReason* and nvmlClocksThrottleReason*).
REASONS = {
    0x1: "idle",
    0x2: "clock setting: application clocks",
    0x4: "power cap",
    0x8: "hardware: slowdown",
    0x10: "other: sync boost",
    0x20: "thermal: software",
    0x40: "thermal: hardware",
    0x80: "hardware: power brake",
    0x100: "clock setting: display clocks",
    0x200: "other: board limit",
    0x400: "other: reliability",
}
_TEMPERATURE_GPU = 0  # nvmlTemperatureSensors_t
_CLOCK_SM, _CLOCK_MEMORY = 1, 2  # nvmlClockType_t
_FIELD_MEMORY_TEMPERATURE = 82  # NVML_FI_DEV_MEMORY_TEMP
_PIDS_INTERVAL_S = 1.0
INSTANCE = "a MIG instance: NVML has the whole board's only"


def reasons(bits: int) -> list[str]:
    """The active reasons in the vocabulary of Sample. Unknown bits are shown as a number."""
    names = [name for bit, name in REASONS.items() if bits & bit]
    unknown = bits & ~sum(REASONS)
    return [*names, f"other: {unknown:#x}"] if unknown else names


def _memory_temperature(nvml: Nvml, handle: Any) -> float:
    celsius = nvml.field(handle, _FIELD_MEMORY_TEMPERATURE)
    if celsius <= 0:
        # So reports an L40S, whose memory has no sensor (driver 595.58, seen 2026).
        raise QueryError("the memory has no sensor (it reports 0)")
    return float(celsius)


# What is asked of the board, newest function first.
BOARD: dict[str, tuple[Query, ...]] = {
    "power_w": (lambda nvml, it: nvml.ask("nvmlDeviceGetPowerUsage", it) / 1e3,),
    "energy_j": (lambda nvml, it: nvml.ask("nvmlDeviceGetTotalEnergyConsumption", it) / 1e3,),
    "utilization": (lambda nvml, it: nvml.ask("nvmlDeviceGetUtilizationRates", it).gpu / 100,),
    "clock_hz": (lambda nvml, it: nvml.ask("nvmlDeviceGetClockInfo", it, _CLOCK_SM) * 1e6,),
    "memory_clock_hz": (
        lambda nvml, it: nvml.ask("nvmlDeviceGetClockInfo", it, _CLOCK_MEMORY) * 1e6,
    ),
}
# These are true of a board and of each of its MIG instances.
SHARED: dict[str, tuple[Query, ...]] = {
    "temperature_c": (
        lambda nvml, it: float(nvml.ask("nvmlDeviceGetTemperatureV", it, _TEMPERATURE_GPU)),
        lambda nvml, it: float(nvml.ask("nvmlDeviceGetTemperature", it, _TEMPERATURE_GPU)),
    ),
    "memory_temperature_c": (_memory_temperature,),
    # The first is its name since driver 535.
    "throttle": (
        lambda nvml, it: reasons(nvml.ask("nvmlDeviceGetCurrentClocksEventReasons", it)),
        lambda nvml, it: reasons(nvml.ask("nvmlDeviceGetCurrentClocksThrottleReasons", it)),
    ),
}
FIELDS = (*BOARD, "memory_used_bytes", *SHARED)


class Reader:
    """Reads one device. `missing`: by field, why it was not read.

    A field that the device never had is not asked for again. A GPU that the driver lost remains a
    device without values: then the total energy is unknown, while excluding the GPU would make it
    too small.
    """

    def __init__(self, nvml: Nvml, unit: Unit) -> None:
        self.unit = unit
        self.missing: dict[str, str] = {}
        self.lost: str | None = None
        self.nvml = nvml
        self._queries = {**({} if unit.is_instance else BOARD), **SHARED}
        self._answered: set[str] = set()
        self._pids: list[int] | None = None
        self._pids_at = float("-inf")
        if unit.is_instance:
            self.missing.update(dict.fromkeys(BOARD, INSTANCE))

    def read(self) -> dict[str, Any]:
        """One reading; a field that NVML does not provide is left out."""
        row: dict[str, Any] = {"device": self.unit.device}
        failed: str | None = None
        for field, value in (("memory_used_bytes", self._memory_used), *self._asked()):
            if self.lost is not None:
                break
            try:
                row[field] = value()
            except QueryError as error:
                failed = error.reason
                self._failed(field, error)
            else:
                self._answered.add(field)
                self.missing.pop(field, None)
        if self.lost is None and len(row) == 1 and self._answered:
            # Nothing answers any more, as when the driver was unloaded. It may come back.
            return {**row, "lost": failed}
        if self.lost is None:
            self.add_pids(row)
        return row if self.lost is None else {"device": self.unit.device, "lost": self.lost}

    def add_pids(self, row: dict[str, Any]) -> None:
        """Add the processes on the device, read at most once a second."""
        if time.monotonic() - self._pids_at >= _PIDS_INTERVAL_S:
            try:
                self._pids = pids(self.nvml, self.unit.handle)
            except QueryError as error:
                self._pids = None
                self._failed("pids", error)
            else:
                self.missing.pop("pids", None)
                if self._pids is None:
                    self.missing["pids"] = ELSEWHERE
            self._pids_at = time.monotonic()
        if self._pids is not None:
            row["pids"] = self._pids

    def _asked(self) -> list[tuple[str, Any]]:
        def asking(queries: tuple[Query, ...]) -> Any:
            return lambda: self.nvml.first(self.unit.board, queries)

        return [(field, asking(queries)) for field, queries in self._queries.items()]

    def _memory_used(self) -> int:
        return int(memory(self.nvml, self.unit.handle).used)

    def _failed(self, field: str, error: QueryError) -> None:
        self.missing[field] = f"NVML: {error.reason}"
        if error.gone:
            self.lost = error.reason
        elif error.permanent and field not in self._answered:
            self._queries.pop(field, None)
