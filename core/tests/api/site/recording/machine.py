"""Hardware: two chips that draw 100 W each; each call is recorded."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import (
    DeviceSettings,
    FrozenMap,
    Hardware,
    NodeProgram,
    PluginContext,
    Sku,
    option,
    options,
)

from .notes import note


@options
class HardwareOptions:
    """Properties of this host."""

    absent: bool = option(default=False, help="there are no devices")
    blind: bool = option(default=False, help="there is no sampler")
    unnamed: bool = option(default=False, help="the probe reports no sku")


class RecordingHardware(Hardware):
    """Devices 0 and 1."""

    def __init__(self, options: HardwareOptions, context: PluginContext) -> None:
        self._options = options

    def catalogue(self) -> Sequence[Sku]:
        note("Hardware.catalogue")
        return [
            Sku(name="REC-1", vendor="rec", source="s", date="d", aliases=("recorded chip, 2 gb",))
        ]

    def settings(self, sku: str | None) -> Sequence[DeviceSettings]:
        note("Hardware.settings", sku=sku)
        return [
            DeviceSettings(
                reason="each process has its own chip",
                environment=FrozenMap({"RECORDED_DEVICES": "{devices}"}),
                devices=("/dev/recorded",),
                groups=("recorders",),
            )
        ]

    def program(self) -> NodeProgram:
        note("Hardware.program")
        asked = self._options
        return NodeProgram(
            module="recording.machine_node",
            bindings=("recording",),
            options=FrozenMap(
                {"absent": asked.absent, "blind": asked.blind, "unnamed": asked.unnamed}
            ),
        )
