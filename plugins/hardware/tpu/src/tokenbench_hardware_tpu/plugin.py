"""Registers the hardware `tpu`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Hardware, HardwareSpec, NoOptions, hookimpl


def _make(options: NoOptions) -> Hardware:
    from .hardware import Tpus

    return Tpus()


@hookimpl
def bench_register_hardware() -> Sequence[HardwareSpec]:
    """TPUs."""
    return [
        HardwareSpec(
            name="tpu",
            summary="Google TPUs: a catalogue, without devices and readings",
            factory=_make,
            catalogue_only=True,
        )
    ]
