"""Registers the hardware `cpu`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Hardware, HardwareSpec, NoOptions, PluginContext, hookimpl


def _make(options: NoOptions, context: PluginContext) -> Hardware:
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
            domain="cpu",
            unproven=(
                "power, temperature, clocks and throttling were read from recreated /sys trees "
                "only: the machines it ran on are virtual and hide them"
            ),
        )
    ]
