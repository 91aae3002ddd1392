"""GPUs of this host, as NVML tells them.

NVML API reference (docs.nvidia.com/deploy/nvml-api, read 2026-11): power in mW, energy in mJ since
the driver was loaded, clocks in MHz. A field that a GPU does not support is None, with the reason
in the probe's notes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from tokenbench.api import DeviceInfo, FrozenMap, Hardware, Probe, Sample, Sampler, Sku

from .catalogue import CATALOGUE, by_driver_name

# Bits of nvmlDeviceGetCurrentClocksEventReasons (nvml.h, nvmlClocksEventReason*). Idle, application
# clocks and the software power cap at the default limit are normal, and only recorded.
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
}


class NvidiaGpus(Hardware):
    """All GPUs that the driver shows."""

    def catalogue(self) -> Sequence[Sku]:
        """What is known of data-centre GPUs."""
        return CATALOGUE

    def probe(self) -> Probe:
        """The GPUs here; none is a reason, never an error."""
        nvml, reason, hint = _load()
        if nvml is None:
            return Probe(reason=reason, hint=hint)
        try:
            count = nvml.nvmlDeviceGetCount()
            handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
            driver = _text(nvml.nvmlSystemGetDriverVersion())
            devices = tuple(_device(nvml, i, h, driver) for i, h in enumerate(handles))
            notes = _notes(nvml, handles[0]) if handles else {}
        except nvml.NVMLError as error:
            return Probe(reason=f"NVML failed: {error}", hint="check the driver with nvidia-smi")
        finally:
            _shutdown(nvml)
        if not devices:
            return Probe(reason="the driver shows no GPU", hint="check it with nvidia-smi")
        return Probe(devices=devices, notes=FrozenMap(notes), facts=FrozenMap({"driver": driver}))

    def sampler(self, devices: Sequence[int]) -> Sampler | None:
        """A sampler of these GPUs; None without a driver."""
        nvml, _, _ = _load()
        return None if nvml is None else NvmlSampler(nvml, devices)


class NvmlSampler(Sampler):
    """Reads each field on its own: one that fails does not take the others with it."""

    def __init__(self, nvml: ModuleType, devices: Sequence[int]) -> None:
        self._nvml = nvml
        self._handles = [(i, nvml.nvmlDeviceGetHandleByIndex(i)) for i in devices]

    def sample(self) -> Sequence[Sample]:
        """One reading of each GPU."""
        return [self._one(index, handle) for index, handle in self._handles]

    def close(self) -> None:
        """Let go of the driver."""
        _shutdown(self._nvml)

    def _one(self, index: int, handle: Any) -> Sample:
        nvml = self._nvml
        power = _ask(nvml, nvml.nvmlDeviceGetPowerUsage, handle)
        energy = _ask(nvml, nvml.nvmlDeviceGetTotalEnergyConsumption, handle)
        rates = _ask(nvml, nvml.nvmlDeviceGetUtilizationRates, handle)
        memory = _ask(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
        heat = _ask(nvml, nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU)
        clock = _ask(nvml, nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_SM)
        bits = _ask(nvml, nvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
        return Sample(
            device=index,
            power_w=None if power is None else power / 1e3,
            energy_j=None if energy is None else energy / 1e3,
            utilization=None if rates is None else rates.gpu / 100,
            memory_used_bytes=None if memory is None else int(memory.used),
            temperature_c=None if heat is None else float(heat),
            clock_hz=None if clock is None else clock * 1e6,
            throttle=reasons(bits or 0),
        )


def reasons(bits: int) -> tuple[str, ...]:
    """Names of the slowdown reasons in force."""
    return tuple(name for bit, name in REASONS.items() if bits & bit)


def _load() -> tuple[Any, str | None, str | None]:
    """NVML, initialised; or None with a reason and a hint."""
    try:
        import pynvml
    except ImportError:
        return (
            None,
            "nvidia-ml-py is not installed",
            'pip install "tokenbench-hardware-nvidia[nvml]"',
        )
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return None, f"no NVIDIA driver answers ({error})", "is this a machine with an NVIDIA GPU?"
    return pynvml, None, None


def _shutdown(nvml: Any) -> None:
    _ask(nvml, nvml.nvmlShutdown)


def _ask(nvml: Any, function: Callable[..., Any], *args: Any) -> Any:
    """An answer, or None where this GPU or driver has none."""
    try:
        return function(*args)
    except nvml.NVMLError:
        return None


def _device(nvml: Any, index: int, handle: Any, driver: str) -> DeviceInfo:
    name = _text(nvml.nvmlDeviceGetName(handle))
    memory = _ask(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    limit = _ask(nvml, nvml.nvmlDeviceGetPowerManagementLimit, handle)
    default = _ask(nvml, nvml.nvmlDeviceGetPowerManagementDefaultLimit, handle)
    uuid = _ask(nvml, nvml.nvmlDeviceGetUUID, handle)
    return DeviceInfo(
        index=index,
        name=name,
        sku=by_driver_name(name),
        uuid=None if uuid is None else _text(uuid),
        memory_bytes=None if memory is None else int(memory.total),
        power_limit_w=None if limit is None else limit / 1e3,
        default_power_limit_w=None if default is None else default / 1e3,
        driver=driver,
    )


def _notes(nvml: Any, handle: Any) -> dict[str, str]:
    """Fields that the first GPU does not tell, with NVML's own words."""
    asked: dict[str, Callable[..., Any]] = {
        "power_w": nvml.nvmlDeviceGetPowerUsage,
        "energy_j": nvml.nvmlDeviceGetTotalEnergyConsumption,
    }
    notes = {}
    for field, function in asked.items():
        try:
            function(handle)
        except nvml.NVMLError as error:
            notes[field] = f"NVML: {error}"
    return notes


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
