"""The node program of the chips in `machine`: it runs in a child process of the node agent."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from recording.faults import FAULT, install

POWER_W = 100.0


def probe(options: dict[str, Any]) -> dict[str, Any]:
    return Node(options).probe()


def sampler(options: dict[str, Any], devices: list[int]) -> NodeSampler | None:
    return Node(options).sampler(devices)


class Node:
    """The program's functions, as members that can be given faults."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options

    def probe(self) -> dict[str, Any]:
        _note("Node.probe", options=self._options)
        if self._options["absent"]:
            return {"reason": "none on purpose", "hint": "leave out absent"}
        sku = {} if self._options["unnamed"] else {"sku": "REC-1"}
        name = os.environ.get("RECORDING_CHIP", "Recorded Chip, 2 GB")
        devices = [{"index": i, "name": name, "handle": f"handle-{i}", **sku} for i in range(2)]
        return {"devices": devices, "notes": {"energy_j": "no counter on purpose"}}

    def sampler(self, devices: list[int]) -> NodeSampler | None:
        _note("Node.sampler", devices=devices)
        return None if self._options["blind"] else NodeSampler(devices)


class NodeSampler:
    """Returns constant readings."""

    def __init__(self, devices: list[int]) -> None:
        self._devices = devices

    def sample(self) -> list[dict[str, Any]]:
        _note("NodeSampler.sample", at=time.monotonic_ns())
        return [{"device": d, "power_w": POWER_W, "throttle": []} for d in self._devices]

    def close(self) -> None:
        _note("NodeSampler.close")


def _note(member: str, **facts: Any) -> None:
    """As :func:`recording.notes.note`, which needs tokenbench."""
    if name := os.environ.get("RECORDING_NOTES"):
        with Path(name).open("a") as out:
            out.write(json.dumps({"member": member, **facts}) + "\n")


if os.environ.get(FAULT, "").startswith("Node"):
    install(globals(), {"Node": Node, "NodeSampler": NodeSampler})
