"""Accelerators and hosts: what exists (data), what is here (probe), what it does (sampler)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import attrs

from .frozen import FrozenMap


@attrs.frozen(kw_only=True)
class Sku:
    """One chip of a catalogue. Figures carry `source` and `date`; None where not known.

    `aliases` are names as drivers report them, lower case.
    """

    name: str
    vendor: str
    source: str
    date: str
    aliases: tuple[str, ...] = ()
    memory_bytes: int | None = None
    memory_bandwidth_bytes_s: float | None = None
    tdp_w: float | None = None
    dense_flops: FrozenMap[float] = FrozenMap()


@attrs.frozen(kw_only=True)
class DeviceInfo:
    """One device found by a probe.

    `index` is its number in samples; `handle` how a process is told to use it (a UUID, the name of
    a partition), None where that is the index.
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
    """What is on this host. No devices: `reason` says why, and `hint` what would help.

    `notes` says of each thing that cannot be measured here, why not (key: field of Sample).
    """

    devices: tuple[DeviceInfo, ...] = ()
    reason: str | None = None
    hint: str | None = None
    notes: FrozenMap[str] = FrozenMap()
    facts: FrozenMap[str] = FrozenMap()


@attrs.frozen(kw_only=True)
class Sample:
    """One reading of one device; None for what it does not tell. The agent adds time and host.

    `energy_j` counts up from an arbitrary start; `utilization` is a share in [0, 1]; `throttle`
    names slowdown reasons in force (empty: none is); `clock_hz` is the compute clock.
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
    """Reads devices. Lives in the agent process of one host; opened and closed once."""

    @abstractmethod
    def sample(self) -> Sequence[Sample]:
        """One reading of every device, quickly (well under the sampling interval)."""

    def close(self) -> None:
        """Let go of the driver."""


class Hardware(ABC):
    """One vendor's accelerators (or the host's CPU)."""

    @abstractmethod
    def catalogue(self) -> Sequence[Sku]:
        """All chips this plugin knows. Pure data."""

    @abstractmethod
    def probe(self) -> Probe:
        """What is on this host. Absence is a Probe with a reason, never an exception."""

    def environment(self) -> FrozenMap[str]:
        """Variables of every process that has accelerators, so that it uses its own and no others.

        Values may hold symbols: ``{"CUDA_VISIBLE_DEVICES": "{devices}"}``. Pure.
        """
        return FrozenMap()

    def sampler(self, devices: Sequence[int]) -> Sampler | None:
        """A sampler of these devices; None where this host can tell nothing."""
        return None
