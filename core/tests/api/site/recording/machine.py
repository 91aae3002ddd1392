"""Hardware: two chips that draw 100 W each; each call is recorded."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tokenbench.api import (
    DeviceInfo,
    FrozenMap,
    Hardware,
    Probe,
    Sample,
    Sampler,
    Sku,
    option,
    options,
)

from .notes import note

POWER_W = 100.0


@options
class HardwareOptions:
    """Properties of this host."""

    absent: bool = option(default=False, help="there are no devices")
    blind: bool = option(default=False, help="there is no sampler")
    unnamed: bool = option(default=False, help="the probe reports no sku")


class RecordingHardware(Hardware):
    """Devices 0 and 1."""

    def __init__(self, options: HardwareOptions) -> None:
        self._options = options

    def catalogue(self) -> Sequence[Sku]:
        note("Hardware.catalogue")
        return [
            Sku(name="REC-1", vendor="rec", source="s", date="d", aliases=("recorded chip, 2 gb",))
        ]

    def probe(self) -> Probe:
        note("Hardware.probe")
        if self._options.absent:
            return Probe(reason="none on purpose", hint="leave out absent")
        sku = None if self._options.unnamed else "REC-1"
        devices = tuple(
            DeviceInfo(index=i, name="Recorded Chip, 2 GB", handle=f"handle-{i}", sku=sku)
            for i in range(2)
        )
        return Probe(devices=devices, notes=FrozenMap({"energy_j": "no counter on purpose"}))

    def environment(self) -> FrozenMap[str]:
        note("Hardware.environment")
        return FrozenMap({"RECORDED_DEVICES": "{devices}"})

    def sampler(self, devices: Sequence[int]) -> Sampler | None:
        note("Hardware.sampler", devices=tuple(devices))
        return None if self._options.blind else RecordingSampler(devices)


class RecordingSampler(Sampler):
    """Returns constant readings."""

    def __init__(self, devices: Sequence[int]) -> None:
        self._devices = devices

    def sample(self) -> Sequence[Sample]:
        note("Sampler.sample", at=time.monotonic_ns())
        return [Sample(device=d, power_w=POWER_W, throttle=()) for d in self._devices]

    def close(self) -> None:
        note("Sampler.close")
