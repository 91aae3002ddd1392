"""The Tiny T1 accelerator. Its driver writes a file with one line per chip: index, W, J."""

from tokenbench import api

T1 = api.Sku(name="tiny-t1", vendor="tiny", tdp_w=75.0, source="T1 data sheet", date="2026-10-01")


@api.options
class Options:
    readings: str = api.option(default="/run/tiny", help="the driver's file", identity=False)


class TinyChip(api.Hardware):
    def __init__(self, options: Options, context: api.PluginContext) -> None:
        self._options = api.FrozenMap(readings=options.readings)

    def catalogue(self) -> list[api.Sku]:
        return [T1]

    def settings(self, sku: str | None) -> list[api.DeviceSettings]:
        variables = api.FrozenMap({"TINY_VISIBLE_DEVICES": "{devices}"})
        return [api.DeviceSettings(reason="each process its own chips", environment=variables)]

    def program(self) -> api.NodeProgram:
        return api.NodeProgram(module="tinychip.node", options=self._options)


@api.hookimpl
def bench_register_hardware() -> list[api.HardwareSpec]:
    return [api.HardwareSpec(name="tinychip", summary="Tiny T1", options=Options, factory=TinyChip)]
