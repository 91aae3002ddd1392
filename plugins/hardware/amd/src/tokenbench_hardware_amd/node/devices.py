"""The description of each GPU or partition in a probe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .binding import QueryError, Smi, number, text
from .readings import Board, memory_used, vram_total, vram_used

# Transfer rates of the PCIe generations in MT/s, the unit of amdsmi_pcie_info_t (amdsmi.h).
_GENERATIONS: dict[float, int] = {2500: 1, 5000: 2, 8000: 3, 16000: 4, 32000: 5, 64000: 6}
_UMC = 1  # AMDSMI_GPU_BLOCK_UMC: the memory controller, whose ECC is that of the HBM
_WHOLE_COMPUTE = ("SPX", None)
_WHOLE_MEMORY = ("NPS1", None)


class Place:
    """A handle of amdsmi: GPU or partition. `board`: what partitions of one GPU have in common."""

    def __init__(self, smi: Smi, index: int, handle: Any) -> None:
        self.index = index
        self.handle = handle
        self.bdf = text(smi.get("amdsmi_get_gpu_device_bdf", handle))
        # The function of the PCI address: the partition in amdsmi before 6.3, then 0 in all.
        self.board = self.bdf.rsplit(".", 1)[0] if self.bdf else f"handle {index}"


def places(smi: Smi) -> list[Place]:
    """All GPUs and partitions, numbered as amdsmi lists them.

    Raises:
        QueryError: they cannot be listed.
    """
    handles = smi.ask("amdsmi_get_processor_handles")
    return [Place(smi, index, handle) for index, handle in enumerate(handles)]


def leaders(found: list[Place]) -> set[int]:
    """The index of the first device of each board."""
    first: dict[str, int] = {}
    for place in found:
        first.setdefault(place.board, place.index)
    return set(first.values())


def describe(board: Board, place: Place, *, divided: bool) -> dict[str, Any]:
    """The fields of DeviceInfo that the driver reports. `divided`: into several devices."""
    smi, handle = board.smi, place.handle
    asic = smi.table("amdsmi_get_gpu_asic_info", handle)
    partition = _partition(smi, handle)
    name = _name(smi, handle, asic)
    if divided:
        number_ = number(smi.table("amdsmi_get_gpu_kfd_info", handle).get("current_partition_id"))
        name += f" ({partition or 'divided'}" + ("" if number_ is None else f", {number_}") + ")"
    vbios = smi.table("amdsmi_get_gpu_vbios_info", handle)
    found = {
        "index": place.index,
        "name": name,
        "handle": _handle(smi, place),
        # Without the ASIC's data, the library prints to stdout (amdsmi_get_gpu_device_uuid).
        "uuid": text(smi.get("amdsmi_get_gpu_device_uuid", handle)) if asic else None,
        "pci": place.bdf,
        "driver": text(smi.table("amdsmi_get_gpu_driver_info", handle).get("driver_version")),
        "firmware": text(vbios.get("version")) or text(vbios.get("part_number")),
        "ecc": _ecc(smi, handle),
        "partition": partition,
        "numa_node": _numa_node(smi, handle),
        "pcie": _pcie(smi, handle),
        "pids": pids(smi, handle),
        "memory_bytes": board.first(vram_total, _memory_total)[0],
        "memory_used_bytes": board.first(vram_used, memory_used)[0],
        **(_power_limits(smi, handle) if board.leads else {}),
        **_clocks(smi, handle),
        **_links(smi, handle),
    }
    return {key: value for key, value in found.items() if value is not None}


def pids(smi: Smi, handle: Any) -> list[int] | None:
    """Processes on this GPU; None if they are unknown or numbered as in another pid namespace."""
    try:
        listed = smi.ask("amdsmi_get_gpu_process_list", handle)
        found = sorted({int(process["pid"]) for process in listed})
    except (QueryError, KeyError, TypeError, ValueError):  # amdsmi 6.0 has no numbers
        return None
    return found if all(Path("/proc", str(pid)).exists() for pid in found) else None


def _name(smi: Smi, handle: Any, asic: dict[str, Any]) -> str:
    """The name on the market. amdsmi gives a hexadecimal number for chips that it does not know."""
    board = smi.table("amdsmi_get_gpu_board_info", handle)
    names = [text(asic.get("market_name")), text(board.get("product_name"))]
    known = [name for name in names if name and not name.lower().startswith("0x")]
    return known[0] if known else f"unknown AMD GPU {text(asic.get('device_id')) or ''}".strip()


def _handle(smi: Smi, place: Place) -> str | None:
    """HIP's number of the GPU where it differs from amdsmi's (known since 6.4)."""
    hip = number(smi.table("amdsmi_get_gpu_enumeration_info", place.handle).get("hip_id"))
    return None if hip is None or int(hip) == place.index else str(int(hip))


def _partition(smi: Smi, handle: Any) -> str | None:
    compute = text(smi.get("amdsmi_get_gpu_compute_partition", handle))
    memory = text(smi.get("amdsmi_get_gpu_memory_partition", handle))
    if compute in _WHOLE_COMPUTE and memory in _WHOLE_MEMORY:
        return None
    return "/".join(mode for mode in (compute, memory) if mode)


def _ecc(smi: Smi, handle: Any) -> bool | None:
    blocks = smi.get("amdsmi_get_gpu_ecc_enabled", handle)
    return bool(blocks & _UMC) if isinstance(blocks, int) else None


def _numa_node(smi: Smi, handle: Any) -> int | None:
    for function in ("amdsmi_get_gpu_topo_numa_affinity", "amdsmi_topo_get_numa_node_number"):
        node = number(smi.get(function, handle))
        if node is not None and node >= 0:
            return int(node)
    return None


def _pcie(smi: Smi, handle: Any) -> dict[str, int] | None:
    """The link now, and the most that it can do (amdsmi 6.1 and newer)."""
    answer = smi.table("amdsmi_get_pcie_info", handle)
    now, best = answer.get("pcie_metric") or {}, answer.get("pcie_static") or {}
    found = {
        "generation": _GENERATIONS.get(number(now.get("pcie_speed")) or 0),
        "max_generation": _GENERATIONS.get(number(best.get("max_pcie_speed")) or 0),
        "width": number(now.get("pcie_width")),
        "max_width": number(best.get("max_pcie_width")),
    }
    return {key: int(value) for key, value in found.items() if value} or None


def _memory_total(board: Board) -> int | None:
    kind = board.smi.member("AmdSmiMemoryType", "VRAM")
    total = number(board.ask("amdsmi_get_gpu_memory_total", kind))
    return int(total) if total else None


def _power_limits(smi: Smi, handle: Any) -> dict[str, float]:
    """In uW (amdsmi_power_cap_info_t in amdsmi.h); a small number is in W."""
    answer = smi.table("amdsmi_get_power_cap_info", handle)
    found = {}
    for field, key in (
        ("power_limit_w", "power_cap"),
        ("default_power_limit_w", "default_power_cap"),
    ):
        cap = number(answer.get(key))
        if cap:
            found[field] = cap / 1e6 if cap >= 1e5 else float(cap)
    return found


def _clocks(smi: Smi, handle: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        kind = smi.member("AmdSmiClkType", "GFX")
    except QueryError:
        return found
    answer = smi.table("amdsmi_get_clock_info", handle, kind)
    most = number(answer.get("max_clk"))
    if most:
        found["max_clock_hz"] = most * 1e6
    level = text(smi.get("amdsmi_get_gpu_perf_level", handle))
    locked = answer.get("clk_locked")
    if level and not level.endswith("UNKNOWN"):
        found["clocks_locked"] = not level.endswith("AUTO") or locked in (True, 1)
    return found


def _links(smi: Smi, handle: Any) -> dict[str, Any]:
    """Links of Infinity Fabric (xGMI), the hive that they make, and what is broken."""
    found: dict[str, Any] = {}
    faults = []
    status = smi.table("amdsmi_get_gpu_xgmi_link_status", handle).get("status")
    if status:
        found["scale_up_links"] = status.count("U")
        down = status.count("D")
        if down:
            faults.append(f"xGMI links that are down: {down}")
    hive = number(smi.table("amdsmi_get_xgmi_info", handle).get("xgmi_hive_id"))
    if hive:
        found["fabric"] = f"xGMI hive {int(hive):#x}"
    errors = number(smi.table("amdsmi_get_gpu_total_ecc_count", handle).get("uncorrectable_count"))
    if errors:
        faults.append(f"uncorrected ECC errors: {int(errors)}")
    if faults:
        found["faults"] = faults
    return found
