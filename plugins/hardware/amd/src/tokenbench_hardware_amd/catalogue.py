"""AMD Instinct GPUs, as data. The default source is InferenceX's hardware constants.

Vendors write GB for GiB: eight stacks of 24 GiB are an MI300X's "192 GB".
"""

from __future__ import annotations

from typing import Any

from tokenbench.api import FrozenMap, Sku, Source

from .costs import COSTS, INFERENCEX

_INFERENCEX = Source(INFERENCEX, "2026-09")
_MI300X_SYSTEM = Source(
    "https://raw.githubusercontent.com/mlcommons/inference_results_v4.1/main/closed/AMD/systems/"
    "8xMI300X_2xEPYC-9374F.json",
    "2026-11-30",
)
_AMD_BLOG = Source(
    "https://rocm.blogs.amd.com, AMD Instinct MI455X vs MI355X: A Technical Look at the Advancing "
    "AI 2026 Inference Numbers",
    "2026-10-08",
)
_AMD_PAGE = Source(
    "https://www.amd.com/en/products/accelerators/instinct/mi400/mi455x.html, as quoted in public "
    "notes of that page",
    "2026-10-05",
)


def _sku(
    name: str,
    *,
    gib: int,
    tb_s: float,
    tflops: dict[str, float],
    source: Source = _INFERENCEX,
    sources: dict[str, Source] | None = None,
    aliases: tuple[str, ...] = (),
    **fields: Any,
) -> Sku:
    """An entry. `tflops` are also its precisions.

    amdsmi reports ``AMD Instinct MI300X`` as market name and ``AMD Instinct MI300X OAM`` as the
    board's name (examples in ROCm's documentation of amd-smi and in its users' logs, read 2026-11).
    """
    market = f"amd instinct {name}"
    flops = {kind: value * 1e12 for kind, value in tflops.items()}
    return Sku(
        name=name,
        vendor="amd",
        label=f"Instinct {name.upper()}",
        aliases=(market, f"{market} oam", *aliases),
        memory_bytes=gib << 30,
        memory_bandwidth_bytes_s=tb_s * 1e12,
        dense_flops=FrozenMap(flops),
        precisions=tuple(flops),
        costs=COSTS.get(name, ()),
        source=source.text,
        date=source.date,
        sources=FrozenMap(sources or {}),
        **fields,
    )


# fmt: off
CATALOGUE: tuple[Sku, ...] = (
    # amdsmi 6 calls it MI300X-O (smi_amdgpu_get_market_name_from_dev_id in amd_smi_utils.cc).
    _sku("mi300x", aliases=("mi300x-o",), architecture="CDNA 3", gib=192, memory_type="HBM3",
         tb_s=5.3, tdp_w=750, tflops={"fp8": 2615, "bf16": 1307}, scale_up_link="Infinity Fabric",
         scale_up_size=8,
         scale_up_bandwidth_bytes_s=448e9, scale_out_link="Pollara 400GbE",
         scale_out_bandwidth_bytes_s=400e9 / 8,
         accelerators_per_host=8, host_link="PCIe 5.0 x16",
         sources=dict.fromkeys(("accelerators_per_host", "host_link"), _MI300X_SYSTEM)),
    _sku("mi325x", architecture="CDNA 3", gib=256, memory_type="HBM3e", tb_s=6.0, tdp_w=1000,
         tflops={"fp8": 2615, "bf16": 1307}, scale_up_link="Infinity Fabric", scale_up_size=8,
         scale_up_bandwidth_bytes_s=448e9, scale_out_link="Pollara 400GbE",
         scale_out_bandwidth_bytes_s=400e9 / 8),
    _sku("mi355x", architecture="CDNA 4", gib=288, memory_type="HBM3e", tb_s=8.0, tdp_w=1400,
         tflops={"fp4": 10066, "fp8": 5033, "bf16": 2516},
         scale_up_link="5th Gen Infinity Fabric", scale_up_size=8,
         scale_up_bandwidth_bytes_s=538e9, scale_out_link="Pollara 400GbE",
         scale_out_bandwidth_bytes_s=400e9 / 8,
         accelerators_per_host=8, sources={"accelerators_per_host": _AMD_BLOG}),
    # Bandwidths of links are published for both directions together.
    _sku("mi455x", architecture="CDNA 5", gib=432, memory_type="HBM4", tb_s=23.3,
         tflops={"fp4": 40300, "fp8": 20100, "bf16": 5000}, source=_AMD_PAGE,
         scale_up_link="UALoE", scale_up_size=72,
         scale_up_bandwidth_bytes_s=3.6e12 / 2, scale_out_link="Vulcano 800",
         scale_out_bandwidth_bytes_s=600e9 / 2, accelerators_per_host=4,
         sources=dict.fromkeys(("scale_up_size", "scale_out_link", "accelerators_per_host"),
                               _AMD_BLOG)),
)
# fmt: on
