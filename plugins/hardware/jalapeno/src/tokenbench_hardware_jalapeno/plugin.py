"""Registers the hardware `jalapeno`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Hardware, HardwareSpec, NoOptions, PluginContext, hookimpl


def _make(options: NoOptions, context: PluginContext) -> Hardware:
    from .hardware import Jalapeno

    return Jalapeno()


@hookimpl
def bench_register_hardware() -> Sequence[HardwareSpec]:
    """Jalapeño accelerators."""
    return [
        HardwareSpec(
            name="jalapeno",
            summary="OpenAI's Jalapeño: a catalogue, without devices and readings",
            factory=_make,
            catalogue_only=True,
        )
    ]
