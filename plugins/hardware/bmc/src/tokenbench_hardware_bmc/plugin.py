"""Registers the hardware `bmc`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Hardware, HardwareSpec, PluginContext, hookimpl

from .options import BmcOptions


def _make(options: BmcOptions, context: PluginContext) -> Hardware:
    from .hardware import HostPower

    return HostPower(options)


@hookimpl
def bench_register_hardware() -> Sequence[HardwareSpec]:
    """The host's BMC."""
    return [
        HardwareSpec(
            name="bmc",
            summary="power of the whole host, from its BMC by IPMI DCMI or Redfish",
            factory=_make,
            options=BmcOptions,
            domain="host",
            unproven=(
                "it never ran against a real BMC: IPMI against a simulator, Redfish against "
                "captured answers"
            ),
        )
    ]
