"""The chip's part on a host.

``THIRDCHIP_DEVICES`` is how many chips there are; a probe appends a line to ``THIRDCHIP_PROBES``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def probe(options: dict[str, Any]) -> dict[str, Any]:
    if log := os.environ.get("THIRDCHIP_PROBES"):
        with Path(log).open("a") as out:
            out.write("probe\n")
    found = range(int(os.environ.get("THIRDCHIP_DEVICES", "0")))
    devices = [{"index": i, "name": "Third X1 OAM", "sku": "third-x1"} for i in found]
    if not devices:
        return {"reason": "no /dev/third0", "hint": "load the driver of the X1"}
    return {"devices": devices}


def sampler(options: dict[str, Any], devices: list[int]) -> None:
    pass
