"""Finds and samples Tiny T1 chips on a host. Python 3.8, standard library only."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def probe(options: dict[str, Any]) -> dict[str, Any]:
    file = Path(options["readings"])
    if not file.exists():
        return {"reason": f"{file} is missing", "hint": "load the driver of the T1"}
    chips = [index for index, _, _ in read(file)]
    return {"devices": [{"index": i, "name": "Tiny T1", "sku": "tiny-t1"} for i in chips]}


def sampler(options: dict[str, Any], devices: list[int]) -> Sampler | None:
    file = Path(options["readings"])
    return Sampler(file, devices) if file.exists() else None


class Sampler:
    def __init__(self, file: Path, devices: list[int]) -> None:
        self.file, self.devices = file, devices

    def sample(self) -> list[dict[str, Any]]:
        mine = [row for row in read(self.file) if row[0] in self.devices]
        return [{"device": i, "power_w": watts, "energy_j": joules} for i, watts, joules in mine]

    def close(self) -> None:
        pass


def read(file: Path) -> list[tuple[int, float, float]]:
    rows = [line.split() for line in file.read_text().splitlines()]
    return [(int(index), float(watts), float(joules)) for index, watts, joules in rows]
