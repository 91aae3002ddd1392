"""Prices and provisioned power of NVIDIA GPUs, in dated sets."""

from __future__ import annotations

from tokenbench.api import CostSet, FrozenMap

INFERENCEX = (
    "InferenceX-app hardware constants (attributed there to the SemiAnalysis AI Cloud TCO Model)"
)
_DATES = {"v1": "2026-04", "v2": "2026-07-31", "v3": "2026-09"}
_GUESS = "its prices are guesses, 1.2 times those of the previous generation"


def _set(version: str, all_in_w: float | None, *, note: str | None = None, **usd: float) -> CostSet:
    return CostSet(
        version=version,
        date=_DATES[version],
        source=INFERENCEX,
        all_in_w=all_in_w,
        usd_per_hour=FrozenMap(usd),
        note=note,
    )


COSTS: dict[str, tuple[CostSet, ...]] = {
    "h100": (
        _set("v1", 1730, hyperscaler=1.3, neocloud=1.69, rent_3yr=1.3),
        _set("v2", 1370, hyperscaler=1.17, neocloud=1.55, rent_3yr=1.78),
        _set("v3", None, hyperscaler=1.17, rent_3yr=2),
    ),
    "h200": (
        _set("v1", 1730, hyperscaler=1.41, neocloud=1.74, rent_3yr=1.6),
        _set("v2", 1370, hyperscaler=1.22, neocloud=1.59, rent_3yr=2.05),
        _set("v3", None, hyperscaler=1.22, rent_3yr=2.9),
    ),
    "b200": (
        _set("v1", 2170, hyperscaler=1.95, neocloud=2.34, rent_3yr=2.9),
        _set("v2", 1710, hyperscaler=1.73, neocloud=2.07, rent_3yr=2.6),
        _set("v3", None, hyperscaler=1.73, rent_3yr=3.7),
    ),
    "b300": (
        _set("v1", 2170, hyperscaler=2.34, neocloud=2.808, rent_3yr=3.48, note=_GUESS),
        _set("v2", 1900, hyperscaler=2.26, neocloud=2.52, rent_3yr=3),
        _set("v3", None, hyperscaler=2.26, rent_3yr=4.25),
    ),
    "gb200": (
        _set("v1", 2100, hyperscaler=2.21, neocloud=2.75, rent_3yr=3.3),
        _set("v2", 1870, hyperscaler=1.86, neocloud=2.26, rent_3yr=2.6),
        _set("v3", None, hyperscaler=1.86, rent_3yr=4),
    ),
    "gb300": (
        _set("v1", 2100, hyperscaler=2.652, neocloud=3.3, rent_3yr=3.96, note=_GUESS),
        _set("v2", 2120, hyperscaler=2.31, neocloud=2.79, rent_3yr=3.3),
        _set("v3", None, hyperscaler=2.31, rent_3yr=5),
    ),
    "rtx6000pro": (
        _set("v2", 975, hyperscaler=0.68, neocloud=0.75, rent_3yr=0.52),
        _set("v3", None, hyperscaler=0.68, rent_3yr=0.52),
    ),
    "vr200": (
        _set("v2", 3300),
        _set("v3", None, hyperscaler=3.61, rent_3yr=3.61),
    ),
}
"""By name of the SKU, the oldest set first."""
