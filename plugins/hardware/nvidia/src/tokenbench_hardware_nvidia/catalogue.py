"""NVIDIA GPUs, as data.

Each entry names one of two sources: InferenceX's hardware constants (attributed there to
SemiAnalysis), or NVIDIA's data sheets, with figures "with sparsity" halved. `date` is when the
figures were valid (InferenceX) or read (data sheets).

Vendors write GB for GiB: a driver reports 143771 MiB for an H200's "141 GB", 183359 MiB for a
B200's "180 GB" and 97887 MiB for an RTX PRO 6000's "96 GB" (nvidia-smi, seen 2026).
"""

from __future__ import annotations

from tokenbench.api import FrozenMap, Sku

_INFERENCEX = "InferenceX hardware constants v3 (SemiAnalysis AI Cloud TCO Model)"
_INFERENCEX_DATE = "2026-09"
_SHEET_DATE = "2026-11"
_GIB = 1 << 30


def _sku(
    name: str,
    *aliases: str,
    gib: float | None = None,
    tb_s: float | None = None,
    tdp_w: float | None = None,
    tflops: dict[str, float] | None = None,
    sheet: str | None = None,
) -> Sku:
    """An entry. Without a data `sheet`, its source is InferenceX."""
    return Sku(
        name=name,
        vendor="nvidia",
        aliases=aliases,
        memory_bytes=None if gib is None else int(gib * _GIB),
        memory_bandwidth_bytes_s=None if tb_s is None else tb_s * 1e12,
        tdp_w=tdp_w,
        dense_flops=FrozenMap({kind: value * 1e12 for kind, value in (tflops or {}).items()}),
        source=_INFERENCEX if sheet is None else f"NVIDIA data sheet: {sheet}",
        date=_INFERENCEX_DATE if sheet is None else _SHEET_DATE,
    )


# fmt: off
CATALOGUE: tuple[Sku, ...] = (
    _sku("h100", "nvidia h100 80gb hbm3",
         gib=80, tb_s=3.35, tdp_w=700, tflops={"fp8": 1979, "bf16": 989}),
    _sku("h200", "nvidia h200",
         gib=141, tb_s=4.8, tdp_w=700, tflops={"fp8": 1979, "bf16": 989}),
    _sku("b200", "nvidia b200",
         gib=180, tb_s=8.0, tdp_w=1000, tflops={"fp4": 9000, "fp8": 4500, "bf16": 2250}),
    _sku("b300", "nvidia b300 sxm6 ac", "nvidia b300",
         gib=268, tb_s=8.0, tdp_w=1200, tflops={"fp4": 13500, "fp8": 4500, "bf16": 2250}),
    _sku("gb200", "nvidia gb200",
         gib=186, tb_s=8.0, tdp_w=1200, tflops={"fp4": 10000, "fp8": 5000, "bf16": 2500}),
    _sku("gb300", "nvidia gb300",
         gib=278, tb_s=8.0, tdp_w=1400, tflops={"fp4": 15000, "fp8": 5000, "bf16": 2500}),
    # Editions differ in bandwidth, and no source here has dense FLOP/s, so both are omitted.
    _sku("rtx6000pro", "nvidia rtx pro 6000 blackwell server edition",
         "nvidia rtx pro 6000 blackwell workstation edition", gib=96, tdp_w=600),
    # The source has only its TDP; the driver's name is not known yet.
    _sku("vr200", tdp_w=1800),
    _sku("rtx6000pro-maxq", "nvidia rtx pro 6000 blackwell max-q workstation edition",
         gib=96, tb_s=1.792, tdp_w=300, sheet="RTX PRO 6000 Blackwell Max-Q"),
    _sku("h100-pcie", "nvidia h100 pcie",
         gib=80, tb_s=2.0, tdp_w=350, tflops={"fp8": 1513, "bf16": 756}, sheet="H100 PCIe"),
    _sku("h100-nvl", "nvidia h100 nvl",
         gib=94, tb_s=3.9, tdp_w=400, tflops={"fp8": 1670, "bf16": 835}, sheet="H100 NVL"),
    _sku("h200-nvl", "nvidia h200 nvl",
         gib=141, tb_s=4.8, tdp_w=600, tflops={"fp8": 1670, "bf16": 835}, sheet="H200 NVL"),
    _sku("a100-80gb", "nvidia a100-sxm4-80gb", "a100-sxm4-80gb",
         gib=80, tb_s=2.039, tdp_w=400, tflops={"bf16": 312}, sheet="A100 80GB SXM"),
    _sku("a100-80gb-pcie", "nvidia a100 80gb pcie", "a100 80gb pcie",
         gib=80, tb_s=1.935, tdp_w=300, tflops={"bf16": 312}, sheet="A100 80GB PCIe"),
    _sku("l40s", "nvidia l40s",
         gib=48, tb_s=0.864, tdp_w=350, tflops={"fp8": 733, "bf16": 362.05}, sheet="L40S"),
)
# fmt: on


def by_driver_name(name: str) -> str | None:
    """The catalogue's name of a GPU by its driver's name; None if unknown."""
    wanted = " ".join(name.lower().split())
    return next((sku.name for sku in CATALOGUE if wanted in sku.aliases), None)
