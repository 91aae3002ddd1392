"""AWS Trainium: the catalogue, what processes need, and the program for hosts."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import DeviceSettings, FrozenMap, Hardware, NodeProgram, Sku

from .catalogue import CATALOGUE


class Trainium(Hardware):
    """A device is a chip. Its handle is the range of its NeuronCores."""

    def catalogue(self) -> Sequence[Sku]:
        """All Trainium chips with figures."""
        return CATALOGUE

    def settings(self, sku: str | None) -> Sequence[DeviceSettings]:
        """The cores of a process, and the device nodes for containers.

        Sources, read 2026-11, AWS Neuron documentation: NRT Developer Guide,
        NEURON_RT_VISIBLE_CORES ("m,n,p-q", contiguous and increasing); "Build and Run a Neuron
        Container" (--device=/dev/neuron0; --cap-add IPC_LOCK in its examples). There is no group:
        the nodes are open to all users.
        """
        return (
            DeviceSettings(
                reason="the Neuron runtime takes NeuronCores, not chips: the range of each chip's "
                "cores, in increasing order and without a gap. Without it, the first process "
                "reserves all cores of the machine",
                environment=FrozenMap({"NEURON_RT_VISIBLE_CORES": "{devices}"}),
            ),
            DeviceSettings(
                reason="a container sees the chips whose nodes are passed in; the runtime also "
                "locks memory there (capability IPC_LOCK)",
                devices=("/dev/neuron*",),
            ),
        )

    def program(self) -> NodeProgram:
        """neuron-ls, neuron-monitor and the driver's files."""
        return NodeProgram(module="tokenbench_hardware_trainium.node")
