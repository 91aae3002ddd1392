"""GPUs of this host, and their sampler."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import DeviceInfo, FrozenMap, Hardware, Probe, Sample, Sampler, Sku

from .catalogue import CATALOGUE, by_driver_name
from .nvml import Absent, Nvml, QueryError, open_nvml
from .readings import Board


class NvidiaGpus(Hardware):
    """All GPUs of the driver, numbered like the driver (by PCI bus)."""

    def catalogue(self) -> Sequence[Sku]:
        """Known GPUs for inference."""
        return CATALOGUE

    def probe(self) -> Probe:
        """The GPUs on this host. Without any, a reason; never an exception."""
        nvml = open_nvml()
        if isinstance(nvml, Absent):
            return Probe(reason=nvml.reason, hint=nvml.hint)
        try:
            return _probe(nvml)
        except QueryError as error:
            return Probe(
                reason=f"the NVIDIA driver does not list its GPUs (NVML: {error.reason})",
                hint="check the driver with nvidia-smi",
            )
        finally:
            nvml.close()

    def environment(self) -> FrozenMap[str]:
        """Variables that select GPUs. Without CUDA_DEVICE_ORDER, CUDA numbers GPUs by speed.

        CUDA C++ Programming Guide, "CUDA Environment Variables" (read 2026-11).
        """
        return FrozenMap({"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "{devices}"})

    def sampler(self, devices: Sequence[int]) -> Sampler | None:
        """A sampler of these GPUs; None without a driver."""
        nvml = open_nvml()
        return None if isinstance(nvml, Absent) else NvmlSampler(nvml, devices)


class NvmlSampler(Sampler):
    """Reads each field separately: a failing field does not affect others."""

    def __init__(self, nvml: Nvml, devices: Sequence[int]) -> None:
        self._nvml = nvml
        self.boards = tuple(Board(nvml, index) for index in devices)

    def sample(self) -> Sequence[Sample]:
        """One reading of each GPU."""
        return [board.read() for board in self.boards]

    def close(self) -> None:
        """Release the driver."""
        self._nvml.close()


def _probe(nvml: Nvml) -> Probe:
    boards = [Board(nvml, index) for index in range(nvml.ask("nvmlDeviceGetCount"))]
    for board in boards:
        board.read()
    driver = nvml.get("nvmlSystemGetDriverVersion")
    found = [device for board in boards if (device := _device(nvml, board, driver)) is not None]
    lost = {f"device {board.index}": f"excluded: {board.gone}" for board in boards if board.gone}
    if not found:
        reason = "; ".join(f"{name} {why}" for name, why in lost.items()) or "it has no GPU"
        return Probe(
            reason=f"the NVIDIA driver has no working GPU ({reason})",
            hint="check it with nvidia-smi; a lost GPU needs a reset or a reboot",
        )
    facts = lost | {
        f"device {board.index}": "in MIG mode: power and energy are the whole board's"
        for board in boards
        if not board.gone and _in_mig_mode(nvml, board)
    }
    cuda = nvml.get("nvmlSystemGetCudaDriverVersion_v2")
    if cuda:
        facts["cuda"] = f"{cuda // 1000}.{cuda % 1000 // 10}"
    if driver is not None:
        facts["driver"] = driver
    return Probe(
        devices=tuple(found),
        notes=FrozenMap(_notes([board for board in boards if not board.gone])),
        facts=FrozenMap(facts),
    )


def _device(nvml: Nvml, board: Board, driver: str | None) -> DeviceInfo | None:
    """The GPU; None if it is lost."""
    if board.gone:
        return None
    name = nvml.get("nvmlDeviceGetName", board.handle) or "unknown NVIDIA GPU"
    sku = by_driver_name(name)
    if _in_mig_mode(nvml, board):
        # A process gets a part of it: the catalogue's figures do not apply.
        name, sku = f"{name} (MIG mode)", None
    memory = nvml.get("nvmlDeviceGetMemoryInfo", board.handle)
    return DeviceInfo(
        index=board.index,
        name=name,
        sku=sku,
        uuid=nvml.get("nvmlDeviceGetUUID", board.handle),
        memory_bytes=None if memory is None else int(memory.total),
        power_limit_w=_watts(nvml, "nvmlDeviceGetPowerManagementLimit", board),
        default_power_limit_w=_watts(nvml, "nvmlDeviceGetPowerManagementDefaultLimit", board),
        driver=driver,
    )


def _watts(nvml: Nvml, function: str, board: Board) -> float | None:
    milliwatts = nvml.get(function, board.handle)
    return None if milliwatts is None else milliwatts / 1e3


def _in_mig_mode(nvml: Nvml, board: Board) -> bool:
    modes = nvml.get("nvmlDeviceGetMigMode", board.handle)
    return bool(modes and modes[0])


def _notes(boards: Sequence[Board]) -> dict[str, str]:
    """Fields that GPUs do not support, with NVML's message, and the GPUs if not all."""
    by_field: dict[str, dict[str, list[int]]] = {}
    for board in boards:
        for field, reason in board.refused.items():
            by_field.setdefault(field, {}).setdefault(reason, []).append(board.index)
    return {
        field: "; ".join(
            f"NVML: {reason}"
            if len(indices) == len(boards)
            else f"device {', '.join(map(str, indices))}: NVML: {reason}"
            for reason, indices in reasons.items()
        )
        for field, reasons in by_field.items()
    }
