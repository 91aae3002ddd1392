"""The node program of the chips of `hardware`: its options say what is wrong with it."""

from __future__ import annotations

import itertools
import json
import os
import time
from typing import Any

_count = itertools.count()


def probe(options: dict[str, Any]) -> dict[str, Any]:
    if options.get("raises"):
        raise OSError("libacme.so: cannot open shared object file")
    found = json.loads(options["found"])
    if os.getpid() != options.get("only_here", os.getpid()):
        return {"reason": "not in another process", "hint": "-"}
    if options.get("unstable"):
        found["devices"][0]["uuid"] = str(next(_count))
    return found


def sampler(options: dict[str, Any], devices: list[int]) -> Reader:
    if options.get("needs_a_device"):
        devices[0]
    return Reader(options, devices)


class Reader:
    """Values that count up."""

    def __init__(self, options: dict[str, Any], devices: list[int]) -> None:
        self.options, self.devices = options, devices
        self.count = itertools.count()
        self.closed = False

    def sample(self) -> list[dict[str, Any]]:
        time.sleep(self.options.get("pause_s", 0))
        energy_j = 1000 + self.options.get("energy", 1) * next(self.count)
        known = {"power_w": 350.0, "energy_j": energy_j, "utilization": 0.5, "throttle": []}
        known.update(json.loads(self.options.get("figures", "{}")))
        found = [{"device": device, **known} for device in self.devices]
        return found[self.options.get("too_few", 0) :]

    def close(self) -> None:
        if self.closed and self.options.get("close_once"):
            self.closed = False  # the third call is the kit's own
            raise RuntimeError("not initialised")
        self.closed = True
