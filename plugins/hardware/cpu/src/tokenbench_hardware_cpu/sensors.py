"""Temperature and clock of the CPU, if the kernel provides them.

Kernel documentation (docs.kernel.org, read 2026-11): "Naming and data format standards for sysfs
files" of hwmon (`tempN_input` in thousandths of a degree), "Generic thermal sysfs", and "CPU
Performance Scaling" (`scaling_cur_freq` in kHz). /proc/cpuinfo's "cpu MHz" is not used: on virtual
machines it is a constant nominal value.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_POLICIES = "devices/system/cpu/cpufreq/policy*"
# Labels of whole packages, by chip. k10temp: Tdie is Tctl without its offset.
_PACKAGE_LABELS = {"coretemp": ("package id",), "k10temp": ("tdie", "tctl"), "cpu_thermal": ("",)}
_ZONES = {"x86_pkg_temp", "cpu-thermal", "cpu_thermal"}
# Kernels before 5.18 may wake each CPU and wait 10 ms for its clock, so only a few are read.
_MOST_CLOCKS = 8

NO_THERMOMETER = "no package sensor in hwmon or thermal zones (a virtual machine hides it)"
NO_CLOCK = "no cpufreq policy shows a current clock (a virtual machine hides it)"


def thermometers(sys: Path) -> list[Path]:
    """Files of package temperatures that can be read now."""
    files: list[Path] = []
    for chip in sorted(sys.glob("class/hwmon/hwmon*")):
        for label in _PACKAGE_LABELS.get(_text(chip / "name"), ()):
            found = [file for file in sorted(chip.glob("temp*_input")) if _labelled(file, label)]
            if found:
                files += found
                break
    if not files:
        zones = sorted(sys.glob("class/thermal/thermal_zone*"))
        files = [zone / "temp" for zone in zones if _text(zone / "type") in _ZONES]
    return [file for file in files if _number(file) is not None]


def clocks(sys: Path) -> list[Path]:
    """Files of current clocks that can be read now: at most 8, distributed over all policies."""
    files = sorted(sys.glob(f"{_POLICIES}/scaling_cur_freq"), key=_policy)
    step = max(1, -(-len(files) // _MOST_CLOCKS))
    return [file for file in files[::step] if _number(file) is not None]


def temperature_c(files: Sequence[Path]) -> float | None:
    """Temperature of the hottest package; None if unknown."""
    known = [value for value in map(_number, files) if value is not None]
    return max(known) / 1e3 if known else None


def clock_hz(files: Sequence[Path]) -> float | None:
    """Mean clock; None if unknown."""
    known = [value for value in map(_number, files) if value is not None]
    return sum(known) / len(known) * 1e3 if known else None


def governor(sys: Path) -> str | None:
    """The active frequency governors; None if the kernel does not scale clocks."""
    names = {_text(file) for file in sys.glob(f"{_POLICIES}/scaling_governor")} - {""}
    return ", ".join(sorted(names)) or None


def _labelled(file: Path, start: str) -> bool:
    label = file.with_name(file.name.replace("_input", "_label"))
    return _text(label).lower().startswith(start)


def _policy(file: Path) -> int:
    digits = file.parent.name.removeprefix("policy")
    return int(digits) if digits.isdigit() else 0


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
