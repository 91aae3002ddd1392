"""Hardware: a catalogue of SKUs (data), a probe of this host, and a sampler of its devices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import attrs

from .frozen import FrozenMap
from .sku import Sku


@attrs.frozen(kw_only=True)
class DeviceInfo:
    """One device found by a probe.

    `index` identifies it in samples. `handle` is what a process is given to select it (a UUID, the
    name of a partition); None if that is the index.
    """

    index: int
    name: str
    handle: str | None = None
    sku: str | None = None
    uuid: str | None = None
    memory_bytes: int | None = None
    power_limit_w: float | None = None
    default_power_limit_w: float | None = None
    driver: str | None = None


@attrs.frozen(kw_only=True)
class Probe:
    """The hardware on this host. Without devices, `reason` says why and `hint` what would help.

    `notes` explains why a field of Sample cannot be measured here (key: field name). `facts` is for
    provenance.
    """

    devices: tuple[DeviceInfo, ...] = ()
    reason: str | None = None
    hint: str | None = None
    notes: FrozenMap[str] = FrozenMap()
    facts: FrozenMap[str] = FrozenMap()


@attrs.frozen(kw_only=True)
class Sample:
    """One reading of one device; None for fields it does not report. The agent adds time and host.

    `energy_j` counts up from an arbitrary start; `utilization` is a fraction in [0, 1]; `throttle`
    names the active slowdown reasons (empty: none); `clock_hz` is the compute clock.
    """

    device: int
    power_w: float | None = None
    energy_j: float | None = None
    utilization: float | None = None
    memory_used_bytes: int | None = None
    temperature_c: float | None = None
    clock_hz: float | None = None
    throttle: tuple[str, ...] | None = None


class Sampler(ABC):
    """Reads devices, in the agent process of one host. Opened and closed once."""

    @abstractmethod
    def sample(self) -> Sequence[Sample]:
        """One reading of every device. Must be much faster than the sampling interval."""

    def close(self) -> None:
        """Release the driver."""


class Hardware(ABC):
    """One vendor's accelerators, or the host's CPU."""

    @abstractmethod
    def catalogue(self) -> Sequence[Sku]:
        """All chips the plugin knows. Pure data."""

    @abstractmethod
    def probe(self) -> Probe:
        """The devices on this host. Without any, a Probe with a reason; never an exception."""

    def environment(self) -> FrozenMap[str]:
        """Variables for every process with accelerators, so that it uses only its own devices.

        Values may contain symbols: ``{"CUDA_VISIBLE_DEVICES": "{devices}"}``. Pure.
        """
        return FrozenMap()

    def sampler(self, devices: Sequence[int]) -> Sampler | None:
        """A sampler of these devices; None if this host reports no readings."""
        return None
