"""The host's CPU: a generic entry of the catalogue, and the program that reads it."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Hardware, NodeProgram, Sku


class HostCpu(Hardware):
    """One device per host, number 0: all its CPUs."""

    def catalogue(self) -> Sequence[Sku]:
        """One generic entry: the figures of a CPU are not known in advance."""
        return [
            Sku(
                name="cpu", vendor="any", source="tokenbench: the probe names it", date="2026-11-21"
            )
        ]

    def program(self) -> NodeProgram:
        """Reads /proc and /sys."""
        return NodeProgram(module="tokenbench_hardware_cpu.node")
