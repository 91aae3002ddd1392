"""NVIDIA GPUs: catalogue, settings of their processes, and the program for their hosts."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import DeviceSettings, FrozenMap, Hardware, NodeProgram, Sku

from .catalogue import CATALOGUE

_SELECTION = DeviceSettings(
    # CUDA C++ Programming Guide, "CUDA Environment Variables" (read 2026-11).
    reason="selects its GPUs; without CUDA_DEVICE_ORDER, CUDA numbers them by speed",
    environment=FrozenMap({"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "{devices}"}),
)
_NODES = DeviceSettings(
    # nvidia-modprobe(1) (565.57, man.archlinux.org, read 2026-11). A GPU's own node is
    # /dev/nvidiaN, where N is the driver's minor number: only the host knows it.
    reason="every CUDA process opens these control nodes; the nodes of its GPUs and the driver's "
    "libraries come from the NVIDIA container toolkit (--gpus, CDI)",
    devices=("/dev/nvidiactl", "/dev/nvidia-uvm"),
)
_RACK = DeviceSettings(
    # mnnvl.cc of NCCL (commit 5067397, 2026-06): without it, NCCL uses no NVLink between hosts.
    # InferenceX sets it in most of its recipes for these chips (commit 843c625, 2026-08), for
    # example benchmarks/multi_node/llm-d-recipes/dsv4-fp4-gb200-low-latency.yaml. They also have
    # NCCL_MNNVL_ENABLE=1. It is not set here: NCCL's default, 2, finds NVLink between hosts by
    # itself, and 1 makes it fail within one host that has no IMEX channel (init.cc, mnnvl.cc).
    reason="NCCL needs it for NVLink between the hosts of a rack; older releases had it off",
    environment=FrozenMap({"NCCL_CUMEM_ENABLE": "1"}),
)
_RACKS = ("gb200", "gb300")


class NvidiaGpus(Hardware):
    """All GPUs of the driver, numbered like the driver (by PCI bus); boards in MIG mode by
    instance.

    Args:
        dcgm: the address of dcgm-exporter's page on each host, if it is read for the samples.
    """

    def __init__(self, dcgm: str | None = None) -> None:
        self._dcgm = dcgm

    def catalogue(self) -> Sequence[Sku]:
        """Known GPUs for inference."""
        return CATALOGUE

    def settings(self, sku: str | None) -> Sequence[DeviceSettings]:
        """Which GPUs, the driver's device nodes, and NCCL in a rack."""
        return (_SELECTION, _NODES, *([_RACK] if sku in _RACKS else []))

    def program(self) -> NodeProgram:
        """NVML through pynvml, which travels with it."""
        return NodeProgram(
            module="tokenbench_hardware_nvidia.node",
            bindings=("pynvml",),
            options=FrozenMap({} if self._dcgm is None else {"dcgm": self._dcgm}),
        )
