"""Power of CPU sockets that have a meter of their own instead of RAPL: NVIDIA Grace.

NVIDIA, "Grace Performance Tuning Guide", Power and Thermals (docs.nvidia.com, read 2026-11): hwmon
devices of the driver acpi_power_meter; `power1_oem_info` names what is measured ("Grace Power
Socket 0": the socket with its memory; "CPU", "SysIO" and "Module Power Socket 0" are parts of it
or contain it), `power1_average` is in microwatts. They have no energy counter.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .files import number, text

NO_COUNTER = "the CPU's power meter has no energy counter"


def sockets(sys: Path) -> list[Path]:
    """Files of the sockets' power that can be read now; empty if one of them cannot."""
    files = [
        info.with_name("power1_average")
        for info in sorted((sys / "class/hwmon").glob("hwmon*/device/power1_oem_info"))
        if text(info).startswith("Grace Power Socket")
    ]
    return files if all(number(file) is not None for file in files) else []


def power_w(files: Sequence[Path]) -> float | None:
    """Power of all sockets; None if unknown."""
    values = [number(file) for file in files]
    known = [value for value in values if value is not None]
    return sum(known) * 1e-6 if values and len(known) == len(values) else None
