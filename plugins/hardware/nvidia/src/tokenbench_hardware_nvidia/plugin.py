"""Registers the hardware `nvidia`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Hardware, HardwareSpec, NoOptions, hookimpl


def _make(options: NoOptions) -> Hardware:
    from .gpus import NvidiaGpus

    return NvidiaGpus()


@hookimpl
def bench_register_hardware() -> Sequence[HardwareSpec]:
    """NVIDIA GPUs."""
    return [
        HardwareSpec(
            name="nvidia",
            summary="NVIDIA GPUs: power, energy, clocks and slowdown reasons through NVML",
            factory=_make,
        )
    ]
