"""Readings of TPUs: memory and duty cycle of tpu-info, processes of /proc."""

from __future__ import annotations

import shutil
import threading
from typing import Any

from .chips import find_chips
from .host import Users
from .tpu_info import TpuInfo

_USERS_S = 2.0
"""How often processes are looked for."""
READY_S = 5.0
"""How long to wait for the first run of tpu-info, so that the first reading has values."""


def sampler(options: dict[str, Any], devices: list[int]) -> Sampler | None:
    """A sampler of these chips; None without any."""
    if not find_chips(options):
        return None
    found = Sampler(options, devices)
    if found.tool is not None:
        found.tool.wait(READY_S)
    return found


class Sampler:
    """A chip whose PCI device disappears is lost; the others are read further."""

    def __init__(self, options: dict[str, Any], devices: list[int]) -> None:
        program = shutil.which("tpu-info")
        self.tool = None if program is None else TpuInfo(program)
        self._options = options
        self._devices = list(devices)
        self._chips = find_chips(options)
        self._users = Users(options)
        self._closing = threading.Event()
        # On a host with many processes this takes too long for each reading.
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def sample(self) -> list[dict[str, Any]]:
        """One reading of each chip."""
        return [self._one(device) for device in self._devices]

    def close(self) -> None:
        """End tpu-info. May be called twice."""
        self._closing.set()
        if self.tool is not None:
            self.tool.close()
        self._thread.join(2.0)

    def _look(self) -> None:
        while not self._closing.wait(_USERS_S):
            self._users = Users(self._options)

    def _one(self, device: int) -> dict[str, Any]:
        if device >= len(self._chips):
            return {"device": device, "lost": "there was no such chip when sampling began"}
        chip = self._chips[device]
        gone = [folder.name for folder in chip.folders if not (folder / "vendor").exists()]
        if gone:
            return {"device": device, "lost": f"its PCI device {gone[0]} is no longer in /sys"}
        found: dict[str, Any] = {"device": device, "pids": self._users.pids(chip.nodes)}
        readings = self.tool.newest() if self.tool else None
        if readings is not None:
            found["memory_used_bytes"] = readings.memory_of(device, len(self._chips))
            found["utilization"] = readings.duty_of(device, len(self._chips))
        return {key: value for key, value in found.items() if value is not None}
