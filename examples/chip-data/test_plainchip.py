"""The conformance kit."""

from tokenbench.testing import HardwareKit


class TestPlainChip(HardwareKit):
    name = "plainchip"
