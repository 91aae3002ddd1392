"""The Tiny T1 accelerator. Its driver writes a file with one line per chip: index, W, J."""

from collections.abc import Sequence
from pathlib import Path

from tokenbench import api

T1 = api.Sku(name="tiny-t1", vendor="tiny", tdp_w=75.0, source="T1 data sheet", date="2026-10-01")


@api.options
class Options:
    readings: str = api.option(default="/run/tiny", help="the driver's file", identity=False)


class TinyChip(api.Hardware):
    def __init__(self, options: Options) -> None:
        self._file = Path(options.readings)

    def catalogue(self) -> list[api.Sku]:
        return [T1]

    def probe(self) -> api.Probe:
        if not self._file.exists():
            return api.Probe(reason=f"{self._file} is missing", hint="load the driver of the T1")
        chips = [int(line.split()[0]) for line in self._file.read_text().splitlines()]
        found = [api.DeviceInfo(index=i, name="Tiny T1", sku=T1.name) for i in chips]
        return api.Probe(devices=tuple(found))

    def environment(self) -> api.FrozenMap[str]:
        return api.FrozenMap({"TINY_VISIBLE_DEVICES": "{devices}"})

    def sampler(self, devices: Sequence[int]) -> api.Sampler | None:
        return TinySampler(self._file, devices) if self._file.exists() else None


class TinySampler(api.Sampler):
    def __init__(self, file: Path, devices: Sequence[int]) -> None:
        self._file, self._devices = file, devices

    def sample(self) -> list[api.Sample]:
        rows = [line.split() for line in self._file.read_text().splitlines()]
        mine = [(int(i), float(w), float(j)) for i, w, j in rows if int(i) in self._devices]
        return [api.Sample(device=i, power_w=w, energy_j=j) for i, w, j in mine]


@api.hookimpl
def bench_register_hardware() -> list[api.HardwareSpec]:
    return [api.HardwareSpec(name="tinychip", summary="Tiny T1", options=Options, factory=TinyChip)]
