"""Google TPUs: the catalogue, what processes need, and the program for hosts."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import DeviceSettings, FrozenMap, Hardware, NodeProgram, Sku

from .catalogue import CATALOGUE


class Tpus(Hardware):
    """A device is a chip."""

    def catalogue(self) -> Sequence[Sku]:
        """All TPUs with figures."""
        return CATALOGUE

    def settings(self, sku: str | None) -> Sequence[DeviceSettings]:
        """The chips of a process, and the device nodes for containers.

        Sources, read 2026-11: Ray, `accelerators/tpu.py`, and JAX issue 14977 (TPU_VISIBLE_CHIPS,
        and the bounds for one and two chips); tpu-info 0.14.2, `device.py` (device nodes);
        PyTorch/XLA's and vLLM's documentation (docker run --privileged --net host).
        """
        return (
            DeviceSettings(
                reason="libtpu takes a process's chips from it (before it, TPU_VISIBLE_DEVICES). "
                "With fewer chips than the host has, the process also needs "
                "TPU_PROCESS_BOUNDS=1,1,1 and TPU_CHIPS_PER_PROCESS_BOUNDS: 1,1,1 for one chip, "
                "1,2,1 for two",
                environment=FrozenMap({"TPU_VISIBLE_CHIPS": "{devices}"}),
            ),
            DeviceSettings(
                reason="chips since v5e are VFIO devices (older ones /dev/accel*); containers are "
                "usually started with --privileged and the host's network",
                devices=("/dev/vfio",),
            ),
        )

    def program(self) -> NodeProgram:
        """PCI devices, device nodes, the environment and tpu-info."""
        return NodeProgram(module="tokenbench_hardware_tpu.node")
