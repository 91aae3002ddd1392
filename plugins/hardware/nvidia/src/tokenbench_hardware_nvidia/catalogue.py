"""NVIDIA's data-centre GPUs, as data.

Figures of the vendor's data sheets as InferenceX gathers them (SemiAnalysis AI Cloud TCO Model,
2026-09): memory, bandwidth, TDP of the module, dense FLOP/s.
"""

from __future__ import annotations

from tokenbench.api import FrozenMap, Sku

_SOURCE = "InferenceX hardware constants v3 (SemiAnalysis AI Cloud TCO Model)"
_DATE = "2026-09"
_GB = 10**9
_TFLOPS = 1e12


def _sku(
    name: str, aliases: tuple[str, ...], gb: float, tb_s: float, tdp_w: float, **tflops: float
) -> Sku:
    return Sku(
        name=name,
        vendor="nvidia",
        aliases=aliases,
        memory_bytes=int(gb * _GB),
        memory_bandwidth_bytes_s=tb_s * 1e12,
        tdp_w=tdp_w,
        dense_flops=FrozenMap({kind: value * _TFLOPS for kind, value in tflops.items()}),
        source=_SOURCE,
        date=_DATE,
    )


CATALOGUE: tuple[Sku, ...] = (
    _sku("h100", ("nvidia h100 80gb hbm3",), 80, 3.35, 700, fp8=1979, bf16=989),
    _sku("h200", ("nvidia h200",), 141, 4.8, 700, fp8=1979, bf16=989),
    _sku("b200", ("nvidia b200",), 180, 8.0, 1000, fp4=9000, fp8=4500, bf16=2250),
    _sku(
        "b300",
        ("nvidia b300", "nvidia b300 sxm6 ac"),
        268,
        8.0,
        1200,
        fp4=13500,
        fp8=4500,
        bf16=2250,
    ),
    _sku("gb200", ("nvidia gb200",), 186, 8.0, 1200, fp4=10000, fp8=5000, bf16=2500),
    _sku("gb300", ("nvidia gb300",), 278, 8.0, 1400, fp4=15000, fp8=5000, bf16=2500),
)


def by_driver_name(name: str) -> str | None:
    """The catalogue's name of a GPU as the driver names it; None for one it does not know."""
    wanted = name.strip().lower()
    return next((sku.name for sku in CATALOGUE if wanted in sku.aliases), None)
