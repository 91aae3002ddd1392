"""The host's power meter."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from tokenbench.api import FrozenMap, Hardware, NodeProgram, Sku

from .options import BmcOptions


class HostPower(Hardware):
    """One device per host, number 0: the whole machine."""

    def __init__(self, options: BmcOptions) -> None:
        self._options = options

    def catalogue(self) -> Sequence[Sku]:
        """Empty: hosts are not in a catalogue."""
        return ()

    def program(self) -> NodeProgram:
        """Asks the BMC. The options have the name of the password's variable, not its value."""
        options = attrs.asdict(self._options)  # type: ignore[arg-type]
        return NodeProgram(
            module="tokenbench_hardware_bmc.node",
            options=FrozenMap({name: value for name, value in options.items() if value}),
        )
