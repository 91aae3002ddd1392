"""What processes on these devices are given."""

from __future__ import annotations

from tokenbench_hardware_trainium.hardware import Trainium


def test_processes_are_given_their_devices() -> None:
    """The variable, and the device nodes for containers, each with a reason; for any SKU."""
    for sku in (None, *(sku.name for sku in Trainium().catalogue())):
        variables, nodes = Trainium().settings(sku)
        assert dict(variables.environment) == {"NEURON_RT_VISIBLE_CORES": "{devices}"}
        assert nodes.devices == ("/dev/neuron*",)
        assert variables.reason and nodes.reason
