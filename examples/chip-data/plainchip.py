"""The Plain P1 accelerator, as data."""

from tokenbench import api

SHEET = {"source": "P1 data sheet", "date": "2026-10-01"}
PRICE = api.FrozenMap(neocloud=0.12)
COSTS = api.CostSet(version="v1", all_in_w=140.0, usd_per_hour=PRICE, **SHEET)
P1 = api.Sku(name="plain-p1", vendor="plain", tdp_w=75.0, costs=(COSTS,), **SHEET)


class PlainChip(api.Hardware):
    def catalogue(self) -> list[api.Sku]:
        return [P1]


@api.hookimpl
def bench_register_hardware() -> list[api.HardwareSpec]:
    spec = api.HardwareSpec(
        name="plainchip", summary="Plain P1", factory=lambda *_: PlainChip(), catalogue_only=True
    )
    return [spec]
