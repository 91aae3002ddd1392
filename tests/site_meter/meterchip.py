"""Three chips whose power is known, a power meter of the host, and an engine that uses the chips.

What goes wrong with them: see `meterchip_node`.
"""

import os
import sys
from collections.abc import Sequence

from tokenbench import api

M1 = api.Sku(name="meter-1", vendor="meter", source="test", date="2026-11-30", tdp_w=700.0)


class Chip(api.Hardware):
    def catalogue(self) -> Sequence[api.Sku]:
        return (M1,)

    def program(self) -> api.NodeProgram:
        faults = os.environ.get("METER_FAULTS", "/nonexistent")
        return api.NodeProgram(
            module="meterchip_node", options=api.FrozenMap({"faults": faults, "kind": "chip"})
        )

    def settings(self, sku: str | None) -> Sequence[api.DeviceSettings]:
        return [
            api.DeviceSettings(
                reason="own chips only",
                environment=api.FrozenMap({"METER_DEVICES": "{devices}"}),
                devices=("/dev/meter",),
                groups=("meter",),
            )
        ]


class Wall(api.Hardware):
    def catalogue(self) -> Sequence[api.Sku]:
        return ()

    def program(self) -> api.NodeProgram:
        return api.NodeProgram(
            module="meterchip_node", options=api.FrozenMap({"faults": "", "kind": "wall"})
        )


class Metered(api.Engine):
    def plan(self, request: api.EngineRequest) -> api.LaunchPlan:
        argv = (sys.executable, "-P", "-m", "tokenbench_testing.server", "--port", "{port:http}")
        pools = request.layout.pools
        return api.LaunchPlan(
            processes=tuple(
                api.ProcessSpec(
                    role=pool.role,
                    argv=argv,
                    replicas=pool.replicas,
                    accelerators=pool.topology.accelerators,
                )
                for pool in pools
            ),
            endpoints=tuple(
                api.EndpointSpec(
                    role=pool.role, url=f"http://{{{pool.role}.0.host}}:{{{pool.role}.0.port:http}}"
                )
                for pool in reversed(pools)
            ),
        )

    def dialect(self, request: api.EngineRequest) -> api.Dialect:
        return api.Dialect(codecs=(api.COMPLETIONS,), ignore_eos=True)


@api.hookimpl
def bench_register_hardware() -> list[api.HardwareSpec]:
    return [
        api.HardwareSpec(name="meterchip", summary="chips", factory=lambda *_: Chip()),
        api.HardwareSpec(
            name="wallmeter", summary="a meter", factory=lambda *_: Wall(), domain="host"
        ),
    ]


@api.hookimpl
def bench_register_engines() -> list[api.EngineSpec]:
    return [
        api.EngineSpec(
            name="metered",
            summary="scripted servers on chips",
            factory=lambda *_: Metered(),
            capabilities=api.EngineCapabilities(
                hardware=("meterchip",), axes=("tp",), roles=("server", "prefill", "decode")
            ),
        )
    ]
