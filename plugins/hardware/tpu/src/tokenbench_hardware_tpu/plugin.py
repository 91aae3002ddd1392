"""Registers the hardware `tpu`, and the amendment with which vLLM runs on it."""

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
    from .hardware import Tpus

    return Tpus()


@hookimpl
def bench_register_hardware() -> Sequence[HardwareSpec]:
    """TPUs."""
    return [
        HardwareSpec(
            name="tpu",
            summary="Google TPUs: duty cycle and memory through tpu-info; no power",
            factory=_make,
            unproven="it never ran on a TPU VM: tpu-info 0.14.2 and 0.2.0 ran against a stand-in "
            "of libtpu's metrics service, and their output is replayed",
        )
    ]


@hookimpl
def bench_amend_launch(request: AmendRequest, plan: LaunchPlan) -> Amendment | None:
    """What vLLM needs on TPUs."""
    from .vllm import amend

    return amend(request, plan)
