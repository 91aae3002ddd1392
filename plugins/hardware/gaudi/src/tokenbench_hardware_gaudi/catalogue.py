"""Intel Gaudi accelerators, as data."""

from __future__ import annotations

from tokenbench.api import FrozenMap, Sku, Source

_HOT_CHIPS = Source(
    "Intel at Hot Chips 2024: Gaudi 3 AI Accelerator, as copied in "
    "https://www.sgpjbg.com/baogao/465025.html",
    "2024-08",
)
_NETWORK = Source(
    "https://docs.habana.ai/en/latest/Management_and_Monitoring/Network_Configuration/index.html",
    "2026-11-30",
)

CATALOGUE: tuple[Sku, ...] = (
    Sku(
        name="gaudi3",
        vendor="intel",
        label="Gaudi 3 OAM, air-cooled",
        source=_HOT_CHIPS.text,
        date=_HOT_CHIPS.date,
        memory_bytes=128 << 30,
        memory_type="HBM2e",
        memory_bandwidth_bytes_s=3.67e12,
        dense_flops=FrozenMap({"fp8": 1835e12, "bf16": 1835e12}),
        precisions=("fp8", "bf16"),
        tdp_w=900.0,
        # 21 of 24 Ethernet ports of 200 Gbit/s for scale-up, 3 for scale-out.
        scale_up_link="200GbE RoCE",
        scale_up_size=8,
        scale_up_bandwidth_bytes_s=525e9,
        scale_out_link="200GbE RoCE",
        scale_out_bandwidth_bytes_s=75e9,
        accelerators_per_host=8,
        host_link="PCIe 5.0 x16",
        host_link_bandwidth_bytes_s=128e9 / 2,
        sources=FrozenMap(
            dict.fromkeys(
                (
                    "scale_up_size",
                    "scale_up_bandwidth_bytes_s",
                    "scale_out_bandwidth_bytes_s",
                    "accelerators_per_host",
                ),
                _NETWORK,
            )
        ),
    ),
)
