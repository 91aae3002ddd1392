"""The devices of this host: boards, and the instances of boards in MIG mode."""

from __future__ import annotations

from typing import Any, NamedTuple

from .nvml import Nvml, QueryError

MEMORY_V2 = 0x02000028  # nvmlMemory_v2: size 40, version 2


class Unit(NamedTuple):
    """A device. `handle` is its own, `board` that of its GPU (the same if it is the whole GPU).
    `device`: its index. `instance`: the ID of its GPU instance.
    """

    device: int
    handle: Any
    board: Any
    board_index: int
    is_instance: bool = False
    instance: int | None = None


class Units(NamedTuple):
    """All devices. `excluded`: why a board (by its index) is none."""

    found: list[Unit]
    excluded: dict[int, str]
    divided: bool


def find(nvml: Nvml) -> Units:
    """All devices. Boards have the driver's index (by PCI bus), MIG instances
    100 x (the board's index + 1) + their number on the board, as ``nvidia-smi -L`` counts them.

    Raises:
        QueryError: the driver does not list its GPUs.
    """
    units = Units([], {}, divided=False)
    for index in range(nvml.ask("nvmlDeviceGetCount")):
        try:
            board = nvml.ask("nvmlDeviceGetHandleByIndex", index)
        except QueryError as error:
            units.excluded[index] = error.reason
            continue
        if not _in_mig_mode(nvml, board):
            units.found.append(Unit(index, board, board, index))
            continue
        units = units._replace(divided=True)
        instances = _instances(nvml, index, board)
        if not instances:
            units.excluded[index] = "in MIG mode without instances"
        units.found.extend(instances)
    return units


def memory(nvml: Nvml, handle: Any) -> Any:
    """Its memory (`total` and `used`), in bytes.

    Since driver 510, used memory excludes the driver's reservation (479 MiB on an H100, driver
    580), as in nvidia-smi. Before, it includes it.

    Raises:
        QueryError: it has no memory of its own.
    """
    return nvml.first(
        handle,
        (
            lambda nvml, it: nvml.ask("nvmlDeviceGetMemoryInfo", it, MEMORY_V2),
            lambda nvml, it: nvml.ask("nvmlDeviceGetMemoryInfo", it),
        ),
    )


def _in_mig_mode(nvml: Nvml, board: Any) -> bool:
    try:
        return bool(nvml.ask("nvmlDeviceGetMigMode", board)[0])
    except QueryError:
        return False


def _instances(nvml: Nvml, index: int, board: Any) -> list[Unit]:
    try:
        slots = nvml.ask("nvmlDeviceGetMaxMigDeviceCount", board)
    except QueryError:
        return []
    found = []
    for slot in range(slots):
        try:
            handle = nvml.ask("nvmlDeviceGetMigDeviceHandleByIndex", board, slot)
        except QueryError:
            continue
        try:
            instance = nvml.ask("nvmlDeviceGetGpuInstanceId", handle)
        except QueryError:
            instance = None
        found.append(Unit(100 * (index + 1) + slot, handle, board, index, True, instance))
    return found
