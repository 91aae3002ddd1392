"""Registers the hardware `gaudi`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Hardware, HardwareSpec, NoOptions, PluginContext, hookimpl


def _make(options: NoOptions, context: PluginContext) -> Hardware:
    from .hardware import Gaudi

    return Gaudi()


@hookimpl
def bench_register_hardware() -> Sequence[HardwareSpec]:
    """Gaudi accelerators."""
    return [
        HardwareSpec(
            name="gaudi",
            summary="Intel Gaudi: a catalogue, without devices and readings",
            factory=_make,
            catalogue_only=True,
        )
    ]
