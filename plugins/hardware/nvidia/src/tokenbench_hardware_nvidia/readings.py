"""Readings of a GPU through NVML, in the units of Sample.

NVML API reference (docs.nvidia.com/deploy/nvml-api, read 2026-11): power in mW (since Ampere,
except GA100, a mean over one second), energy in mJ since the driver was loaded, clocks in MHz.
Power and energy are those of the whole board, including memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from tokenbench.api import Sample

from .nvml import Nvml, QueryError

# Bits of clock event reasons (nvml.h, nvmlClocksEventReason* and nvmlClocksThrottleReason*). Only
# names with "hw" or "thermal" are slowdowns. The others, such as idle or a power cap at the board's
# default limit, are normal and only recorded.
REASONS = {
    0x1: "idle",
    0x2: "application clocks",
    0x4: "power cap",
    0x8: "hw slowdown",
    0x10: "sync boost",
    0x20: "sw thermal slowdown",
    0x40: "hw thermal slowdown",
    0x80: "hw power brake",
    0x100: "display clocks",
    0x200: "board limit",
    0x400: "reliability",
}
_TEMPERATURE_GPU = 0  # nvmlTemperatureSensors_t
_CLOCK_SM = 1  # nvmlClockType_t


def reasons(bits: int) -> tuple[str, ...]:
    """Names of the active reasons. Unknown bits are shown as a number."""
    names = tuple(name for bit, name in REASONS.items() if bits & bit)
    unknown = bits & ~sum(REASONS)
    return (*names, f"unknown {unknown:#x}") if unknown else names


@attrs.frozen
class Reading:
    """A field of Sample: the NVML functions that provide it (newest first), their further
    arguments, and the conversion of the result.
    """

    field: str
    functions: tuple[str, ...]
    convert: Callable[[Any], Any]
    args: tuple[int, ...] = ()


READINGS = (
    Reading("power_w", ("nvmlDeviceGetPowerUsage",), lambda mw: mw / 1e3),
    Reading("energy_j", ("nvmlDeviceGetTotalEnergyConsumption",), lambda mj: mj / 1e3),
    Reading("utilization", ("nvmlDeviceGetUtilizationRates",), lambda rates: rates.gpu / 100),
    Reading("memory_used_bytes", ("nvmlDeviceGetMemoryInfo",), lambda memory: int(memory.used)),
    Reading("temperature_c", ("nvmlDeviceGetTemperature",), float, (_TEMPERATURE_GPU,)),
    Reading("clock_hz", ("nvmlDeviceGetClockInfo",), lambda mhz: mhz * 1e6, (_CLOCK_SM,)),
    # The first is its name since driver 535, the second the older name.
    Reading(
        "throttle",
        ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"),
        reasons,
    ),
)


class Board:
    """One GPU. A field that fails permanently is not read again; `refused` has NVML's message by
    field.

    A lost GPU, or one without a handle, remains a device without values: then the total energy is
    unknown, while excluding the GPU would make it too small.
    """

    def __init__(self, nvml: Nvml, index: int) -> None:
        self.index = index
        self.refused: dict[str, str] = {}
        self.gone: str | None = None
        self._nvml = nvml
        self._working = {reading.field: list(reading.functions) for reading in READINGS}
        self.handle: Any = None
        try:
            self.handle = nvml.ask("nvmlDeviceGetHandleByIndex", index)
        except QueryError as error:
            self._lose(error.reason)

    def read(self) -> Sample:
        """One reading; None for each field that NVML does not provide."""
        found = {reading.field: self._field(reading) for reading in READINGS}
        return Sample(device=self.index, **found)

    def _field(self, reading: Reading) -> Any:
        functions = self._working[reading.field]
        while functions and self.gone is None:
            try:
                answer = self._nvml.ask(functions[0], self.handle, *reading.args)
            except QueryError as error:
                if error.gone:
                    self._lose(error.reason)
                if not error.permanent:
                    return None
                self.refused[reading.field] = error.reason
                functions.pop(0)
            else:
                self.refused.pop(reading.field, None)
                return reading.convert(answer)
        return None

    def _lose(self, reason: str) -> None:
        self.gone = reason
        for reading in READINGS:
            self.refused.setdefault(reading.field, reason)
