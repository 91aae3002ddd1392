"""Registers the hardware `amd`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Hardware, HardwareSpec, NoOptions, hookimpl


def _make(options: NoOptions) -> Hardware:
    from .hardware import AmdGpus

    return AmdGpus()


@hookimpl
def bench_register_hardware() -> Sequence[HardwareSpec]:
    """AMD GPUs."""
    return [
        HardwareSpec(
            name="amd",
            summary="AMD Instinct GPUs: a catalogue, without devices and readings",
            factory=_make,
            catalogue_only=True,
        )
    ]
