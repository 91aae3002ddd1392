"""Registers the hardware `trainium`, and the amendment with which vLLM runs on it."""

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


def _make(options: NoOptions, context: PluginContext) -> Hardware:
    from .hardware import Trainium

    return Trainium()


@hookimpl
def bench_register_hardware() -> Sequence[HardwareSpec]:
    """Trainium chips."""
    return [
        HardwareSpec(
            name="trainium",
            summary="AWS Trainium: utilization and memory through Neuron's tools; no power",
            factory=_make,
            unproven="it never ran on a Trn instance: its tests replay captured and documented "
            "output of neuron-ls and neuron-monitor, none of it from Trn3",
        )
    ]


@hookimpl
def bench_amend_launch(request: AmendRequest, plan: LaunchPlan) -> Amendment | None:
    """What vLLM needs on Trainium."""
    from .vllm import amend

    return amend(request, plan)
