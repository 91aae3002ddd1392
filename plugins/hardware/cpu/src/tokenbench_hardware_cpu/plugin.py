"""Registers the hardware `cpu`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Hardware, HardwareSpec, NoOptions, hookimpl


def _make(options: NoOptions) -> Hardware:
    from .host import HostCpu

    return HostCpu()


@hookimpl
def bench_register_hardware() -> Sequence[HardwareSpec]:
    """The host's CPU."""
    return [
        HardwareSpec(
            name="cpu",
            summary="the host's CPU: utilization, memory, and energy if RAPL can be read",
            factory=_make,
            accelerated=False,
        )
    ]
