"""The Plain P1 accelerator: data, and a probe for chips on this machine."""

from pathlib import Path

from tokenbench import api

SHEET = {"source": "P1 data sheet", "date": "2026-10-01"}
PRICE = api.FrozenMap(neocloud=0.12)
COSTS = api.CostSet(version="v1", all_in_w=140.0, usd_per_hour=PRICE, **SHEET)
P1 = api.Sku(name="plain-p1", vendor="plain", tdp_w=75.0, costs=(COSTS,), **SHEET)


class PlainChip(api.Hardware):
    def catalogue(self) -> list[api.Sku]:
        return [P1]

    def probe(self) -> api.Probe:
        found = range(len(list(Path("/dev").glob("plain[0-9]"))))
        if not found:
            return api.Probe(reason="/dev/plain0 is missing", hint="load the driver of the P1")
        devices = [api.DeviceInfo(index=i, name="Plain P1", sku=P1.name) for i in found]
        return api.Probe(devices=tuple(devices))


@api.hookimpl
def bench_register_hardware() -> list[api.HardwareSpec]:
    return [api.HardwareSpec(name="plainchip", summary="Plain P1", factory=lambda _: PlainChip())]
