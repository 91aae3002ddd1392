"""Registers the hardware `trainium`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Hardware, HardwareSpec, NoOptions, hookimpl


def _make(options: NoOptions) -> Hardware:
    from .hardware import Trainium

    return Trainium()


@hookimpl
def bench_register_hardware() -> Sequence[HardwareSpec]:
    """Trainium chips."""
    return [
        HardwareSpec(
            name="trainium",
            summary="AWS Trainium: a catalogue, without devices and readings",
            factory=_make,
            catalogue_only=True,
        )
    ]
