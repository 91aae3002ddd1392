"""What processes on these devices are given."""

from __future__ import annotations

from tokenbench_hardware_tpu.hardware import Tpus


def test_processes_are_given_their_devices() -> None:
    """The variable, and the device nodes for containers, each with a reason; for any SKU."""
    for sku in (None, *(sku.name for sku in Tpus().catalogue())):
        variables, nodes = Tpus().settings(sku)
        assert dict(variables.environment) == {"TPU_VISIBLE_CHIPS": "{devices}"}
        assert nodes.devices == ("/dev/vfio",)
        assert variables.reason and nodes.reason
