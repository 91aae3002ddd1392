"""The hardware `cpu` keeps the contract of its kind."""

from __future__ import annotations

from tokenbench.testing import HardwareKit


class TestCpu(HardwareKit):
    """The conformance kit on the host's CPU."""

    name = "cpu"
