"""Temperature of the CPU, if the kernel provides it.

Kernel documentation (docs.kernel.org, read 2026-11): "Naming and data format standards for sysfs
files" of hwmon (`tempN_input` in thousandths of a degree), and "Generic thermal sysfs".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .files import number, text

# Labels of whole packages, by chip. k10temp: Tdie is Tctl without its offset.
_PACKAGE_LABELS = {"coretemp": ("package id",), "k10temp": ("tdie", "tctl"), "cpu_thermal": ("",)}
_ZONES = {"x86_pkg_temp", "cpu-thermal", "cpu_thermal"}

NO_THERMOMETER = "no package sensor in hwmon or thermal zones (a virtual machine hides it)"


def thermometers(sys: Path) -> list[Path]:
    """Files of package temperatures that can be read now."""
    files: list[Path] = []
    for chip in sorted(sys.glob("class/hwmon/hwmon*")):
        for label in _PACKAGE_LABELS.get(text(chip / "name"), ()):
            found = [file for file in sorted(chip.glob("temp*_input")) if _labelled(file, label)]
            if found:
                files += found
                break
    if not files:
        zones = sorted(sys.glob("class/thermal/thermal_zone*"))
        files = [zone / "temp" for zone in zones if text(zone / "type") in _ZONES]
    return [file for file in files if number(file) is not None]


def temperature_c(files: Sequence[Path]) -> float | None:
    """Temperature of the hottest package; None if unknown."""
    known = [value for value in map(number, files) if value is not None]
    return max(known) / 1e3 if known else None


def _labelled(file: Path, start: str) -> bool:
    label = file.with_name(file.name.replace("_input", "_label"))
    return text(label).lower().startswith(start)
