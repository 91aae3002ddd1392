"""Prices and provisioned power of Jalapeño, in dated sets."""

from __future__ import annotations

from tokenbench.api import CostSet, FrozenMap

INFERENCEX = (
    "InferenceX-app hardware constants (attributed there to the SemiAnalysis AI Cloud TCO Model)"
)
_DATES = {"v2": "2026-07-31", "v3": "2026-09"}


def _set(version: str, all_in_w: float | None, **usd: float) -> CostSet:
    return CostSet(
        version=version,
        date=_DATES[version],
        source=INFERENCEX,
        all_in_w=all_in_w,
        usd_per_hour=FrozenMap(usd),
    )


COSTS: dict[str, tuple[CostSet, ...]] = {
    "jalapeno": (
        _set("v2", 1125),
        _set("v3", None, hyperscaler=1.47, rent_3yr=1.79),
    ),
}
"""By name of the SKU, the oldest set first."""
