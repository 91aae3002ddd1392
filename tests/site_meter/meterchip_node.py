"""Chips 0, 1 and 2 draw 100, 200 and 300 W, the host 1000 W.

In the folder `faults`, each file changes something from the moment it exists: ``lost-1`` (chip 1
does not answer), ``hang``, ``raise``, ``exit``, ``thermal-1``, ``cap``, ``slow-1`` (a low clock),
``idle-1``, ``pid`` (its text is a process that uses all chips), ``limit-1`` (before the probe).
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any


class Faults:
    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def text(self, name: str) -> str:
        return (self.folder / name).read_text()


def probe(options: dict[str, Any]) -> dict[str, Any]:
    if options["kind"] == "wall":
        return {"devices": [{"index": 0, "name": "wall meter"}], "facts": {"meter": "calibrated"}}
    faults = Faults(options["faults"])
    return {
        "devices": [
            {
                "index": i,
                "name": "Meter M1",
                "sku": "meter-1",
                "uuid": f"METER-{i}",
                "driver": "7.1",
                "firmware": "f3",
                "power_limit_w": 600 if faults.has(f"limit-{i}") else 700,
                "default_power_limit_w": 700,
                "pcie": {"width": 16, "max_width": 16},
            }
            for i in range(3)
        ]
    }


def sampler(options: dict[str, Any], devices: list[int]) -> Sampler:
    return Sampler(options, devices)


class Sampler:
    def __init__(self, options: dict[str, Any], devices: list[int]) -> None:
        self.options, self.devices = options, devices
        self.faults = Faults(options["faults"])

    def sample(self) -> list[dict[str, Any]]:
        if self.options["kind"] == "wall":
            return [{"device": 0, "power_w": 1000.0}]
        if self.faults.has("hang"):
            time.sleep(1000)
        if self.faults.has("raise"):
            raise RuntimeError("the driver answers nonsense")
        if self.faults.has("exit"):
            os.kill(os.getpid(), 9)
        return [self.one(device) for device in self.devices]

    def one(self, device: int) -> dict[str, Any]:
        has = self.faults.has
        if has(f"lost-{device}"):
            return {"device": device, "lost": "it has fallen off the bus"}
        watts = 100.0 * (device + 1)
        found = {
            "device": device,
            "power_w": watts,
            "energy_j": watts * time.monotonic(),
            "utilization": 0.0 if has(f"idle-{device}") else 0.9,
            "clock_hz": 0.5e9 if has(f"slow-{device}") else 1e9,
            "throttle": [],
        }
        if has(f"thermal-{device}"):
            found["throttle"].append("thermal: hardware")
        if has("cap"):
            found["throttle"].append("power cap")
        if has("pid"):
            found["pids"] = [int(self.faults.text("pid"))]
        return found

    def close(self) -> None:
        pass
