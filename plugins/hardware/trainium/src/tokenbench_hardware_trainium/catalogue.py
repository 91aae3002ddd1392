"""AWS Trainium chips, as data: the architecture pages of the AWS Neuron documentation.

An accelerator is a chip; Neuron counts NeuronCores. The bandwidth of NeuronLink is not here: AWS
publishes 384 (Trainium), 1,280 (Trainium2) and 2,560 GB/s (Trainium3) per chip without saying
whether both directions are included.
"""

from __future__ import annotations

from typing import Any

from tokenbench.api import FrozenMap, Sku, Source

_BASE = "https://awsdocs-neuron.readthedocs-hosted.com/en"
_PAGES = f"{_BASE}/latest/about-neuron/arch/neuron-hardware"
_READ = "2026-11-30"
_CHIP_1 = Source(f"{_BASE}/latest/general/arch/neuron-hardware/trainium.html", _READ)
_CHIP_2 = Source(f"{_PAGES}/trainium2.html", _READ)
_CHIP_3 = Source(f"{_PAGES}/trainium3.html", _READ)
_HOST_1 = Source(f"{_BASE}/v2.9.1/general/arch/neuron-hardware/trn1-arch.html", _READ)
_HOST_2 = Source(f"{_PAGES}/trn2-arch.html", _READ)
_HOST_3 = Source(f"{_PAGES}/trn3-arch.html", _READ)
_OF_HOST = (
    "scale_up_size",
    "scale_out_link",
    "scale_out_bandwidth_bytes_s",
    "accelerators_per_host",
)


def _sku(
    name: str,
    label: str,
    chip: Source,
    host: Source,
    *,
    gib: int,
    tb_s: float,
    tflops: dict[str, float],
    **fields: Any,
) -> Sku:
    """An entry. `tflops` are also its precisions."""
    flops = {kind: value * 1e12 for kind, value in tflops.items()}
    return Sku(
        name=name,
        vendor="aws",
        label=label,
        source=chip.text,
        date=chip.date,
        memory_bytes=gib << 30,
        memory_bandwidth_bytes_s=tb_s * 1e12,
        dense_flops=FrozenMap(flops),
        precisions=tuple(flops),
        scale_out_link="EFA",
        sources=FrozenMap(dict.fromkeys(_OF_HOST, host)),
        **fields,
    )


# fmt: off
CATALOGUE: tuple[Sku, ...] = (
    # A Trn3 Gen2 UltraServer: 36 servers of 4 chips. FP4 is computed as FP8.
    _sku("trn3", "Trainium3", _CHIP_3, _HOST_3, architecture="NeuronCore-v4", gib=144, tb_s=4.9,
         tflops={"fp4": 2517, "fp8": 2517, "bf16": 671, "fp16": 671, "tf32": 671, "fp32": 183},
         scale_up_link="NeuronLink-v4", scale_up_size=144, accelerators_per_host=4,
         scale_out_bandwidth_bytes_s=28_800e9 / 144 / 8),
    # A Trn2 UltraServer: four instances of 16 chips.
    _sku("trn2", "Trainium2", _CHIP_2, _HOST_2, architecture="NeuronCore-v3", gib=96, tb_s=2.9,
         tflops={"fp8": 1299, "bf16": 667, "fp16": 667, "tf32": 667, "fp32": 181},
         scale_up_link="NeuronLink-v3", scale_up_size=64, accelerators_per_host=16,
         scale_out_bandwidth_bytes_s=3200e9 / 16 / 8),
    # trn1.32xlarge.
    _sku("trn1", "Trainium", _CHIP_1, _HOST_1, architecture="NeuronCore-v2", gib=32, tb_s=0.82,
         tflops={"int8": 380, "bf16": 190, "fp16": 190, "tf32": 190, "fp32": 47.5},
         scale_up_link="NeuronLink-v2", scale_up_size=16, accelerators_per_host=16,
         scale_out_bandwidth_bytes_s=800e9 / 16 / 8),
)
# fmt: on
