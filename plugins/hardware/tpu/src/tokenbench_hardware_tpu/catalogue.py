"""Google TPUs, as data: Google Cloud's pages, and InferenceX for the power and prices of TPU7x.

Google gives inter-chip bandwidth for both directions together. An accelerator is a chip.
"""

from __future__ import annotations

from tokenbench.api import FrozenMap, Sku, Source

from .costs import COSTS, INFERENCEX

_READ = "2026-11-30"
_V5E = Source("https://docs.cloud.google.com/tpu/docs/v5e", _READ)
_V5P = Source("https://docs.cloud.google.com/tpu/docs/v5p-training", _READ)
_V6E = Source("https://docs.cloud.google.com/tpu/docs/v6e", _READ)
_TPU7X = Source("https://docs.cloud.google.com/tpu/docs/tpu7x", _READ)
_GKE = Source("https://docs.cloud.google.com/kubernetes-engine/docs/concepts/tpu-ironwood", _READ)
_MICROBENCHMARKS = Source(
    "https://github.com/AI-Hypercomputer/accelerator-microbenchmarks: TPU7X_HARDWARE_SPEC", _READ
)
_INFERENCEX = Source(INFERENCEX, "2026-09")

CATALOGUE: tuple[Sku, ...] = (
    Sku(
        name="tpuv7",
        vendor="google",
        label="TPU7x",
        source=_TPU7X.text,
        date=_TPU7X.date,
        architecture="Ironwood",
        memory_bytes=192 << 30,
        memory_bandwidth_bytes_s=7380e9,
        dense_flops=FrozenMap({"fp8": 4614e12, "bf16": 2307e12}),
        precisions=("fp8", "bf16"),
        tdp_w=980.0,
        scale_up_size=9216,
        accelerators_per_host=4,
        costs=COSTS["tpuv7"],
        sources=FrozenMap(
            {
                "tdp_w": _INFERENCEX,
                "memory_bandwidth_bytes_s": _MICROBENCHMARKS,
                "accelerators_per_host": _GKE,
            }
        ),
    ),
    Sku(
        name="tpuv6e",
        vendor="google",
        label="TPU v6e",
        source=_V6E.text,
        date=_V6E.date,
        architecture="Trillium",
        memory_bytes=32 << 30,
        memory_bandwidth_bytes_s=1638e9,
        dense_flops=FrozenMap({"fp8": 918e12, "int8": 1836e12, "bf16": 918e12}),
        precisions=("fp8", "int8", "bf16"),
        scale_up_link="ICI, 2D torus",
        scale_up_size=256,
        scale_up_bandwidth_bytes_s=800e9 / 2,
        accelerators_per_host=8,
        host_link="PCIe 5.0",
        sources=FrozenMap({"dense_flops.fp8": _TPU7X}),
    ),
    Sku(
        name="tpuv5p",
        vendor="google",
        label="TPU v5p",
        source=_V5P.text,
        date=_V5P.date,
        memory_bytes=95 << 30,
        memory_bandwidth_bytes_s=2765e9,
        dense_flops=FrozenMap({"fp8": 459e12, "bf16": 459e12}),
        precisions=("fp8", "bf16"),
        scale_up_link="ICI, 3D torus",
        scale_up_size=8960,
        scale_up_bandwidth_bytes_s=1200e9 / 2,
        scale_out_bandwidth_bytes_s=50e9 / 8,
        accelerators_per_host=4,
    ),
    Sku(
        name="tpuv5e",
        vendor="google",
        label="TPU v5e",
        source=_V5E.text,
        date=_V5E.date,
        memory_bytes=16 << 30,
        memory_type="HBM2",
        memory_bandwidth_bytes_s=819e9,
        dense_flops=FrozenMap({"int8": 393e12, "bf16": 197e12}),
        precisions=("int8", "bf16"),
        scale_up_link="ICI, 2D torus",
        scale_up_size=256,
        scale_up_bandwidth_bytes_s=400e9 / 2,
        scale_out_link="2 x 100 Gbit/s per host",
        scale_out_bandwidth_bytes_s=6.4e12 / 256 / 8,
        accelerators_per_host=8,
    ),
)
