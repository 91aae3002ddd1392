"""Sockets, cores, threads and NUMA nodes.

Kernel documentation, "CPU topology" and "sysfs-devices-system-cpu" (docs.kernel.org, read 2026-11).
`smt/active` is 1 if threads share cores now. Accelerators with coherent memory (GH200) add NUMA
nodes without CPUs; they are not counted.
"""

from __future__ import annotations

from pathlib import Path

from .files import number, text

_SMT_OFF = {
    "notsupported": "off (the CPU has none)",
    "forceoff": "off (until the next boot)",
}


def facts(sys: Path) -> dict[str, str | None]:
    """What the kernel reports, in words."""
    folders = list((sys / "devices/system/cpu").glob("cpu[0-9]*/topology"))
    sockets = {number(folder / "physical_package_id") for folder in folders} - {None, -1}
    cores = {_threads_of_core(folder) for folder in folders} - {""}
    return {
        "sockets": str(len(sockets)) if sockets else None,
        "physical_cores": str(len(cores)) if cores else None,
        "logical_cpus": str(len(folders)) if folders else None,
        "numa_nodes": _numa_nodes(sys / "devices/system/node"),
        "smt": _smt(sys / "devices/system/cpu/smt"),
    }


def _threads_of_core(folder: Path) -> str:
    # Renamed in Linux 5.3.
    return text(folder / "core_cpus_list") or text(folder / "thread_siblings_list")


def _numa_nodes(folder: Path) -> str | None:
    listed = text(folder / "has_cpu")
    count = 0
    for part in listed.split(",") if listed else []:
        first, _, last = part.partition("-")
        if not first.isdigit() or not (last or first).isdigit():
            return None
        count += int(last or first) - int(first) + 1
    return str(count) if count else None


def _smt(folder: Path) -> str | None:
    active, control = number(folder / "active"), text(folder / "control")
    if active is None:
        return None
    if active:
        return "on"
    return _SMT_OFF.get(control, "off")
