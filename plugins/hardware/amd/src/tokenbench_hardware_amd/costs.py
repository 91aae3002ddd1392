"""Prices and provisioned power of AMD GPUs, in dated sets."""

from __future__ import annotations

from tokenbench.api import CostSet, FrozenMap

INFERENCEX = (
    "InferenceX-app hardware constants (attributed there to the SemiAnalysis AI Cloud TCO Model)"
)
_DATES = {"v1": "2026-04", "v2": "2026-07-31", "v3": "2026-09"}


def _set(version: str, all_in_w: float | None, **usd: float) -> CostSet:
    return CostSet(
        version=version,
        date=_DATES[version],
        source=INFERENCEX,
        all_in_w=all_in_w,
        usd_per_hour=FrozenMap(usd),
    )


COSTS: dict[str, tuple[CostSet, ...]] = {
    "mi300x": (
        _set("v1", 1790, hyperscaler=1.12, neocloud=1.4, rent_3yr=1.55),
        _set("v2", 1390, hyperscaler=0.95, neocloud=1.16, rent_3yr=1.3),
        _set("v3", None, hyperscaler=0.95, rent_3yr=1.3),
    ),
    "mi325x": (
        _set("v1", 2180, hyperscaler=1.28, neocloud=1.59, rent_3yr=1.8),
        _set("v2", 1690, hyperscaler=1.1, neocloud=1.32, rent_3yr=1.6),
        _set("v3", None, hyperscaler=1.1, rent_3yr=1.6),
    ),
    "mi355x": (
        _set("v1", 2650, hyperscaler=1.48, neocloud=1.9, rent_3yr=2.1),
        _set("v2", 2090, hyperscaler=1.5, neocloud=2.09, rent_3yr=2.1),
        _set("v3", None, hyperscaler=1.5, rent_3yr=2.9),
    ),
}
"""By name of the SKU, the oldest set first."""
