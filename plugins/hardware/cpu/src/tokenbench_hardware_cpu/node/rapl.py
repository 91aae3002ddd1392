"""Energy of CPU packages through Linux's powercap interface (RAPL).

Kernel documentation, "Power Capping Framework" (docs.kernel.org/power/powercap, read 2026-11):
``/sys/class/powercap/intel-rapl:N`` is a package, also on AMD; `energy_uj` counts microjoules and
wraps at `max_energy_range_uj`. Other domains are excluded, because they would count joules twice:
domains inside a package (``core``, ``dram``: ``intel-rapl:N:M``), the board (``psys``), and
packages seen through MMIO (``intel-rapl-mmio:N``). So memory is not included. Since 2020 only root
can read the counter (CVE-2020-8694).
"""

from __future__ import annotations

from pathlib import Path

from .files import number, text

_UJ = 1e-6
CLASS = "class/powercap"
# No CPU package of 2026 is allowed 2 kW.
_MOST_PACKAGE_W = 2000


class Package:
    """One package's counter, with wrap-around corrected.

    Raises:
        OSError, ValueError: it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "energy_uj"
        self._range = int((folder / "max_energy_range_uj").read_text())
        self._last = self._read()
        self._sum = 0

    def energy_j(self) -> float:
        """Joules since this object was created. Call it before the counter wraps (minutes)."""
        now = self._read()
        step = now - self._last
        self._sum += step if step >= 0 else step + self._range
        self._last = now
        return self._sum * _UJ

    def _read(self) -> int:
        return int(self._file.read_text())


def packages(sys: Path) -> tuple[list[Package], str | None]:
    """All packages, or the reason why there are none and a remedy. If one package is unreadable,
    none is used: a sum over some sockets would be wrong.
    """
    folders = _folders(sys)
    if not folders:
        return [], (
            f"no RAPL package under {sys / CLASS} "
            "(a virtual machine hides it; on bare metal try: modprobe intel_rapl_msr)"
        )
    try:
        return [Package(folder) for folder in folders], None
    except PermissionError as error:
        return [], (
            f"{error.filename} is readable by root only "
            f"(run as root, or: chmod a+r {sys / CLASS}/intel-rapl:*/energy_uj)"
        )
    except (OSError, ValueError) as error:
        return [], f"could not read RAPL: {error}"


def limits(sys: Path) -> dict[str, float]:
    """Power limit of all packages (long-term constraint) and its default, the packages' TDP.

    A package without a limit has its register's greatest value there; such limits are left out.
    """
    found = {}
    folders = _folders(sys)
    for field, name in (
        ("power_limit_w", "constraint_0_power_limit_uw"),
        ("default_power_limit_w", "constraint_0_max_power_uw"),
    ):
        values = [(number(folder / name) or 0) * _UJ for folder in folders]
        if values and all(0 < value < _MOST_PACKAGE_W for value in values):
            found[field] = sum(values)
    return found


def facts(sys: Path) -> dict[str, str | None]:
    """Whether memory has a counter. Its energy is not part of the packages' energy."""
    memory = [
        folder for folder in (sys / CLASS).glob("intel-rapl:*:*") if text(folder / "name") == "dram"
    ]
    return {"memory_energy": f"{len(memory)} RAPL domains, not included" if memory else None}


def _folders(sys: Path) -> list[Path]:
    return sorted(
        folder
        for folder in (sys / CLASS).glob("intel-rapl:*")
        if text(folder / "name").startswith("package")
    )
