"""Energy of CPU packages through Linux' powercap interface (RAPL).

Kernel documentation, "Power Capping Framework" (docs.kernel.org/power/powercap, read 2026-11):
``/sys/class/powercap/intel-rapl:N`` is package N, `energy_uj` counts microjoules and wraps at
`max_energy_range_uj`. AMD packages show under the same name. Since 2020 the counter is readable by
root only (CVE-2020-8694).
"""

from __future__ import annotations

from pathlib import Path

_UJ = 1e-6
CLASS = "class/powercap"


class Package:
    """One package's counter, unwrapped."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "energy_uj"
        self._range = int((folder / "max_energy_range_uj").read_text())
        self._last = self._read()
        self._sum = 0

    def energy_j(self) -> float:
        """Joules since this object was made; to be called before the counter wraps (minutes)."""
        now = self._read()
        step = now - self._last
        self._sum += step if step >= 0 else step + self._range
        self._last = now
        return self._sum * _UJ

    def _read(self) -> int:
        return int(self._file.read_text())


def packages(sys: Path) -> tuple[list[Package], str | None]:
    """The packages that can be read, or why there is none."""
    folders = sorted(
        folder
        for folder in (sys / CLASS).glob("intel-rapl:*")
        if folder.name.count(":") == 1 and _name(folder).startswith("package")
    )
    if not folders:
        return [], f"no RAPL package under {sys / CLASS} (a virtual machine, or no driver)"
    try:
        return [Package(folder) for folder in folders], None
    except PermissionError as error:
        return [], f"{error.filename} is readable by root only"
    except (OSError, ValueError) as error:
        return [], f"RAPL cannot be read: {error}"


def _name(folder: Path) -> str:
    try:
        return (folder / "name").read_text().strip()
    except OSError:
        return ""
