"""Thermal throttling of the CPU.

``cpuN/thermal_throttle`` (Intel only; arch/x86 of the kernel, therm_throt.c, and "Thermal
throttling" in docs.kernel.org, read 2026-11). `*_throttle_count` counts episodes when they start,
`*_throttle_total_time_ms` grows when they end. In the middle of a long episode neither changes, so
an episode shows as its first and its last reading. `*_power_limit_count` exists if the kernel was
booted with ``int_pln_enable``.
"""

from __future__ import annotations

from pathlib import Path

from .files import last_number, number, text

NO_COUNTER = (
    "no thermal_throttle counters (only Intel CPUs have them, and a virtual machine hides them)"
)
_REASONS = {
    "core_throttle_count": "thermal: a core",
    "core_throttle_total_time_ms": "thermal: a core",
    "package_throttle_count": "thermal: the package",
    "package_throttle_total_time_ms": "thermal: the package",
    "core_power_limit_count": "power cap: a core",
    "package_power_limit_count": "power cap: the package",
}


def counters(sys: Path) -> dict[Path, str]:
    """Files of counters that can be read now, each with its reason.

    One CPU per core and one per package is enough: the others repeat their counters.
    """
    found: dict[Path, str] = {}
    seen: set[tuple[str, str]] = set()
    folders = (sys / "devices/system/cpu").glob("cpu[0-9]*/thermal_throttle")
    for folder in sorted(folders, key=lambda folder: last_number(folder.parent.name)):
        for name, reason in _REASONS.items():
            unit = (name, _unit(folder.parent, whole=name.startswith("package")))
            if unit not in seen and number(folder / name) is not None:
                seen.add(unit)
                found[folder / name] = reason
    return found


class Throttle:
    """Reasons since the last call."""

    def __init__(self, sys: Path) -> None:
        self._reasons = counters(sys)
        self._last = {file: number(file) for file in self._reasons}

    def __bool__(self) -> bool:
        return bool(self._reasons)

    def reasons(self) -> list[str]:
        """Reasons whose counters grew."""
        grown = set()
        for file, reason in self._reasons.items():
            now, before = number(file), self._last[file]
            if now is None:
                continue
            if before is not None and now > before:
                grown.add(reason)
            self._last[file] = now
        return sorted(grown)


def _unit(cpu: Path, *, whole: bool) -> str:
    """The core or package that a CPU belongs to; the CPU itself if the kernel does not say."""
    topology = cpu / "topology"
    package = text(topology / "physical_package_id")
    if not package:
        return cpu.name
    return package if whole else f"{package}:{text(topology / 'core_id') or cpu.name}"
