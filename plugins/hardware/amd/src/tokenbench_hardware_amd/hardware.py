"""AMD Instinct GPUs: catalogue, settings of processes, and the program for hosts."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import DeviceSettings, Hardware, NodeProgram, Sku

from .catalogue import CATALOGUE
from .settings import settings


class AmdGpus(Hardware):
    """GPUs of the driver amdgpu, numbered as amdsmi lists them (by PCI address)."""

    def catalogue(self) -> Sequence[Sku]:
        """All AMD GPUs with figures."""
        return CATALOGUE

    def settings(self, sku: str | None) -> Sequence[DeviceSettings]:
        """Visible devices, device nodes and groups, and what the chip needs."""
        return settings(sku)

    def program(self) -> NodeProgram:
        """It uses the amdsmi of the host, which fits the library there (see `node.binding`)."""
        return NodeProgram(module="tokenbench_hardware_amd.node")
