"""NVIDIA GPUs, as data.

The default source of a GPU is InferenceX's hardware constants or, with `sheet`, an NVIDIA data
sheet, its figures "with sparsity" halved; `sources` names others. Vendors write GB for GiB: a
driver reports 143771 MiB for an H200's "141 GB", 183359 MiB for a B200's "180 GB" and 97887 MiB for
an RTX PRO 6000's "96 GB" (nvidia-smi, seen 2026).
"""

from __future__ import annotations

from typing import Any

from tokenbench.api import FrozenMap, Sku, Source

from .costs import COSTS, INFERENCEX

_INFERENCEX = Source(INFERENCEX, "2026-09")
_SHEET_DATE = "2026-11"
_READ = "2026-11-30"


def _mlperf(path: str) -> Source:
    """The description of a system that was submitted to MLPerf Inference."""
    version, _, file = path.partition("/")
    base = f"https://raw.githubusercontent.com/mlcommons/inference_results_{version}/main/closed"
    return Source(f"{base}/{file}", _READ)


def _system(path: str) -> dict[str, Source]:
    source = _mlperf(path)
    return {"accelerators_per_host": source, "host_link": source}


# A figure read in somebody's copy of a vendor's document says so.
_A100_DIGEST = Source(
    "NVIDIA data sheet: A100, as quoted in https://glennklockwood.com/garden/processors/A100", _READ
)
_A100_SOURCES = dict.fromkeys(
    (
        *("dense_flops.fp16", "dense_flops.int8", "dense_flops.tf32", "precisions"),
        *("scale_up_link", "scale_up_bandwidth_bytes_s", "host_link"),
        "host_link_bandwidth_bytes_s",
    ),
    _A100_DIGEST,
)
_L40S_TABLE = Source(
    "NVIDIA data sheet: L40S, as quoted in https://www.mullet.se/product.html?product_id=355414",
    _READ,
)
_V100_NVML = Source("NVML of a Tesla V100-SXM2-32GB, https://pastebin.com/AaFUPNi5", "2019-07-11")
_V100_BLOG = Source("https://developer.nvidia.com/programming-tensor-cores-cuda-9-0", _READ)
_VR200 = _mlperf("v6.1/NVIDIA/systems/VR-NVL72_VR-288GB_aarch64x72_TRT.json")
_SERVER_SHEET = Source(
    "NVIDIA data sheet: RTX PRO 6000 Blackwell Server Edition (December 2025), as quoted in public "
    "notes of it",
    _READ,
)
_TRANSFORMER_ENGINE = Source(
    "https://nvidia.github.io/TransformerEngine/support_matrix.html", _READ
)
_WORKSTATION_SMI = Source(
    "nvidia-smi, https://raw.githubusercontent.com/MarcoPizeta/flash-next-rtxpro6000-bench/main/"
    "HARDWARE.md",
    "2026-09-04",
)
# B300-SXM-288GBx8 (NVIDIA DGX B300), GB300-NVL72_GB300-288GB_aarch64x4 in the list of systems.
_MLPERF_SYSTEMS = Source("MLPerf Inference v6.0, README of closed/NVIDIA", "2026-12-01")

# The same for all GPUs of a generation in an eight-GPU or NVL72 system.
_HOPPER: dict[str, Any] = {
    "architecture": "Hopper",
    "scale_up_link": "NVLink 4.0",
    "scale_up_size": 8,
    "scale_up_bandwidth_bytes_s": 450e9,
    "scale_out_bandwidth_bytes_s": 400e9 / 8,
}
_BLACKWELL: dict[str, Any] = {
    "architecture": "Blackwell",
    "memory_type": "HBM3e",
    "scale_up_link": "NVLink 5.0",
    "scale_up_bandwidth_bytes_s": 900e9,
}
_RTX: dict[str, Any] = {"precisions": ("fp4", "fp8", "bf16")}
_EIGHT_PCIE: dict[str, Any] = {"accelerators_per_host": 8, "host_link": "PCIe 5.0 x16"}


def _sku(
    name: str,
    *aliases: str,
    gib: float | None = None,
    tb_s: float | None = None,
    tflops: dict[str, float] | None = None,
    sheet: str | None = None,
    source: Source = _INFERENCEX,
    sources: dict[str, Source] | None = None,
    precisions: tuple[str, ...] = (),
    **fields: Any,
) -> Sku:
    """An entry. Without `precisions`, they are those of `tflops`."""
    if sheet is not None:
        source = Source(f"NVIDIA data sheet: {sheet}", _SHEET_DATE)
    flops = {kind: value * 1e12 for kind, value in (tflops or {}).items()}
    return Sku(
        name=name,
        vendor="nvidia",
        aliases=aliases,
        memory_bytes=None if gib is None else int(gib * (1 << 30)),
        memory_bandwidth_bytes_s=None if tb_s is None else tb_s * 1e12,
        dense_flops=FrozenMap(flops),
        precisions=precisions or tuple(flops),
        costs=COSTS.get(name, ()),
        source=source.text,
        date=source.date,
        sources=FrozenMap(sources or {}),
        **fields,
    )


# fmt: off
CATALOGUE: tuple[Sku, ...] = (
    _sku("h100", "nvidia h100 80gb hbm3", label="H100 SXM",
         gib=80, tb_s=3.35, tdp_w=700, tflops={"fp8": 1979, "bf16": 989}, memory_type="HBM3",
         scale_out_link="ConnectX-7 2x200GbE", **_HOPPER, **_EIGHT_PCIE,
         sources=_system("v3.1/Dell/systems/XE9680_H100_SXM_80GBx8_TRT.json")),
    _sku("h200", "nvidia h200", label="H200 SXM",
         gib=141, tb_s=4.8, tdp_w=700, tflops={"fp8": 1979, "bf16": 989}, memory_type="HBM3e",
         scale_out_link="ConnectX-7 400G (InfiniBand)", **_HOPPER, **_EIGHT_PCIE,
         sources=_system("v4.1/NVIDIA/systems/H200-SXM-141GBx8_TRT_MaxQ.json")),
    _sku("b200", "nvidia b200", label="B200 SXM",
         gib=180, tb_s=8.0, tdp_w=1000, tflops={"fp4": 9000, "fp8": 4500, "bf16": 2250},
         scale_up_size=8, scale_out_link="ConnectX-7 400GbE",
         scale_out_bandwidth_bytes_s=400e9 / 8, **_BLACKWELL, **_EIGHT_PCIE,
         sources=_system("v6.0/Nebius/systems/nebius_b200_n1.json")),
    _sku("b300", "nvidia b300 sxm6 ac", "nvidia b300", label="B300 SXM",
         gib=268, tb_s=8.0, tdp_w=1200, tflops={"fp4": 13500, "fp8": 4500, "bf16": 2250},
         scale_up_size=8, scale_out_link="ConnectX-8 2x400GbE",
         scale_out_bandwidth_bytes_s=800e9 / 8, accelerators_per_host=8, **_BLACKWELL,
         sources={"accelerators_per_host": _MLPERF_SYSTEMS}),
    _sku("gb200", "nvidia gb200", label="GB200 NVL72",
         gib=186, tb_s=8.0, tdp_w=1200, tflops={"fp4": 10000, "fp8": 5000, "bf16": 2500},
         scale_up_size=72, accelerators_per_host=4, host_link="NVLink-C2C", **_BLACKWELL,
         sources=_system("v6.1/Crusoe/systems/GB200-NVL72_GB200-186GB_aarch64x16_Dynamo.json")),
    _sku("gb300", "nvidia gb300", label="GB300 NVL72",
         gib=278, tb_s=8.0, tdp_w=1400, tflops={"fp4": 15000, "fp8": 5000, "bf16": 2500},
         scale_up_size=72, accelerators_per_host=4, **_BLACKWELL,
         sources={"accelerators_per_host": _MLPERF_SYSTEMS}),
    # Its driver's name is not known yet. InferenceX has only its power and prices.
    _sku("vr200", label="Vera Rubin NVL72", architecture="Vera Rubin", tdp_w=1800,
         gib=288, memory_type="HBM4", scale_up_link="NVLink 6.0", scale_up_size=72,
         accelerators_per_host=4, host_link="NVLink-C2C",
         sources={**dict.fromkeys(("memory_bytes", "memory_type", "scale_up_link", "scale_up_size",
                                   "accelerators_per_host", "host_link"), _VR200)}),
    # No source here has its dense FLOP/s.
    _sku("rtx6000pro", "nvidia rtx pro 6000 blackwell server edition",
         label="RTX PRO 6000 Blackwell Server Edition", architecture="Blackwell",
         gib=96, memory_type="GDDR7", tb_s=1.597, tdp_w=600,
         scale_up_link="PCIe Gen5 (no NVLink)", scale_up_size=8, **_RTX,
         sources={"memory_bandwidth_bytes_s": _SERVER_SHEET, "precisions": _TRANSFORMER_ENGINE}),
    _sku("rtx6000pro-workstation", "nvidia rtx pro 6000 blackwell workstation edition",
         label="RTX PRO 6000 Blackwell Workstation Edition", architecture="Blackwell",
         gib=96, tdp_w=600, host_link="PCIe 5.0 x16", source=_WORKSTATION_SMI, **_RTX,
         sources={"precisions": _TRANSFORMER_ENGINE}),
    _sku("rtx6000pro-maxq", "nvidia rtx pro 6000 blackwell max-q workstation edition",
         label="RTX PRO 6000 Blackwell Max-Q", architecture="Blackwell",
         gib=96, tb_s=1.792, tdp_w=300, sheet="RTX PRO 6000 Blackwell Max-Q", **_RTX,
         sources={"precisions": _TRANSFORMER_ENGINE}),
    _sku("h100-pcie", "nvidia h100 pcie", label="H100 PCIe", architecture="Hopper",
         gib=80, tb_s=2.0, tdp_w=350, tflops={"fp8": 1513, "bf16": 756}, sheet="H100 PCIe"),
    _sku("h100-nvl", "nvidia h100 nvl", label="H100 NVL", architecture="Hopper",
         gib=94, tb_s=3.9, tdp_w=400, tflops={"fp8": 1670, "bf16": 835}, sheet="H100 NVL"),
    _sku("h200-nvl", "nvidia h200 nvl", label="H200 NVL", architecture="Hopper",
         gib=141, tb_s=4.8, tdp_w=600, tflops={"fp8": 1670, "bf16": 835}, sheet="H200 NVL"),
    _sku("a100-80gb", "nvidia a100-sxm4-80gb", "a100-sxm4-80gb", label="A100 80GB SXM",
         architecture="Ampere", gib=80, memory_type="HBM2e", tb_s=2.039, tdp_w=400,
         tflops={"int8": 624, "bf16": 312, "fp16": 312, "tf32": 156}, sheet="A100 80GB SXM",
         scale_up_link="NVLink", scale_up_bandwidth_bytes_s=300e9,
         host_link="PCIe 4.0", host_link_bandwidth_bytes_s=32e9, sources=_A100_SOURCES),
    _sku("a100-80gb-pcie", "nvidia a100 80gb pcie", "a100 80gb pcie", label="A100 80GB PCIe",
         architecture="Ampere", gib=80, memory_type="HBM2e", tb_s=1.935, tdp_w=300,
         tflops={"bf16": 312}, sheet="A100 80GB PCIe"),
    _sku("l40s", "nvidia l40s", label="L40S", architecture="Ada Lovelace",
         gib=48, memory_type="GDDR6", tb_s=0.864, tdp_w=350, sheet="L40S",
         tflops={"fp8": 733, "bf16": 362.05, "fp16": 362.05, "tf32": 183},
         host_link="PCIe 4.0 x16", host_link_bandwidth_bytes_s=32e9,
         sources=dict.fromkeys(("architecture", "memory_type", "dense_flops.fp16",
                                "dense_flops.tf32", "precisions", "host_link",
                                "host_link_bandwidth_bytes_s"), _L40S_TABLE)),
    _sku("v100-32gb", "tesla v100-sxm2-32gb", label="V100 32GB SXM2", architecture="Volta",
         gib=32, tdp_w=300, tflops={"fp16": 125}, source=_V100_NVML,
         sources=dict.fromkeys(("architecture", "dense_flops", "precisions"), _V100_BLOG)),
)
# fmt: on


def by_driver_name(name: str) -> str | None:
    """The catalogue's name of a GPU by its driver's name; None if unknown."""
    wanted = " ".join(name.lower().split())
    return next((sku.name for sku in CATALOGUE if wanted in sku.aliases), None)
