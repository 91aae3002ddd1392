"""What the plugin's hardware has on a host, as it was written for API 0.2. Python 3.8.

FROZEN: never edit it, like the modules beside it.
"""

from __future__ import annotations

from typing import Any


def probe(options: dict[str, Any]) -> dict[str, Any]:
    device = {
        "index": 0,
        "name": options["alias"],
        "handle": "own-0",
        "sku": "OWN-1",
        "uuid": "u",
        "pci": "0000:01:00.0",
        "driver": "1",
        "firmware": "2",
        "memory_bytes": 8 << 30,
        "memory_used_bytes": 0,
        "power_limit_w": 75.0,
        "default_power_limit_w": 75.0,
        "max_clock_hz": 1e9,
        "clocks_locked": False,
        "ecc": True,
        "persistence": True,
        "numa_node": 0,
        "pcie": {"generation": 4, "max_generation": 5, "width": 16, "max_width": 16},
        "scale_up_links": 0,
        "pids": [],
        "faults": [],
    }
    notes = {"temperature_c": "no sensor"}
    return {"devices": [device], "notes": notes, "facts": {"bus": "pci"}}


def sampler(options: dict[str, Any], devices: list[int]) -> Any:
    return OwnSampler(options, devices)


class OwnSampler:
    def __init__(self, options: dict[str, Any], devices: list[int]) -> None:
        self._watts, self._devices, self._joules = options["watts"], devices, 0.0

    def sample(self) -> list[dict[str, Any]]:
        self._joules += 10.0
        known = {"utilization": 0.5, "memory_used_bytes": 1, "clock_hz": 1e9, "pids": []}
        return [
            {"device": d, "power_w": self._watts, "energy_j": self._joules, "throttle": [], **known}
            for d in self._devices
        ]

    def close(self) -> None:
        self._devices = []
