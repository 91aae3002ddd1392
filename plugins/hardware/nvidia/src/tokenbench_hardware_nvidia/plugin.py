"""Registers the hardware `nvidia`, and the amendment with which engines run on it."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import (
    Amendment,
    AmendRequest,
    Hardware,
    HardwareSpec,
    LaunchPlan,
    PluginContext,
    hookimpl,
    http_url,
    option,
    options,
)

from .environment import NvidiaEnvironment


@options
class NvidiaOptions:
    """Options of the hardware."""

    dcgm: str | None = option(
        default=None,
        check=http_url,
        identity=False,
        help="read samples from dcgm-exporter instead of NVML: the address of its page as seen "
        "from each host, such as http://127.0.0.1:9400/metrics",
    )


def _make(options: NvidiaOptions, context: PluginContext) -> Hardware:
    from .hardware import NvidiaGpus

    return NvidiaGpus(options.dcgm)


@hookimpl
def bench_register_hardware() -> Sequence[HardwareSpec]:
    """NVIDIA GPUs."""
    return [
        HardwareSpec(
            name="nvidia",
            summary="NVIDIA GPUs: power, energy, clocks and slowdown reasons through NVML or DCGM",
            factory=_make,
            options=NvidiaOptions,
            unproven="an earlier form read one H100 with driver 580; MIG, NVLink fabrics, faults, "
            "DCGM and other chips were tested with a stand-in of the driver only",
        )
    ]


@hookimpl
def bench_use_options() -> type[NvidiaEnvironment]:
    """Those of the amendment: ``--use nvidia:...``."""
    return NvidiaEnvironment


@hookimpl
def bench_amend_launch(
    request: AmendRequest, plan: LaunchPlan, options: NvidiaEnvironment
) -> Amendment | None:
    """What the engine needs on these GPUs."""
    from .environment import amend

    return amend(request, plan, options or NvidiaEnvironment())
