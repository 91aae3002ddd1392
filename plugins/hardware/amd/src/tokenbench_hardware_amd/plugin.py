"""Registers the hardware `amd`, and the amendment with which engines run on it."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import (
    Amendment,
    AmendRequest,
    Hardware,
    HardwareSpec,
    LaunchPlan,
    NoOptions,
    PluginContext,
    hookimpl,
)

from .environment import AmdEnvironment


def _make(options: NoOptions, context: PluginContext) -> Hardware:
    from .hardware import AmdGpus

    return AmdGpus()


@hookimpl
def bench_register_hardware() -> Sequence[HardwareSpec]:
    """AMD GPUs."""
    return [
        HardwareSpec(
            name="amd",
            summary="AMD GPUs: power, energy, clocks and slowdown reasons through AMD SMI",
            factory=_make,
            unproven="devices and readings: amdsmi answered from a stand-in library, no AMD GPU",
        )
    ]


@hookimpl
def bench_use_options() -> type[AmdEnvironment]:
    """Those of the amendment: ``--use amd:...``."""
    return AmdEnvironment


@hookimpl
def bench_amend_launch(
    request: AmendRequest, plan: LaunchPlan, options: AmdEnvironment
) -> Amendment | None:
    """What the engine needs on these GPUs."""
    from .environment import amend

    return amend(request, plan, options or AmdEnvironment())
