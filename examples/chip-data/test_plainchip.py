"""The conformance kit."""

from tokenbench_testing import HardwareKit


class TestPlainChip(HardwareKit):
    name = "plainchip"
