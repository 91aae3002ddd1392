"""The hardware `cpu` passes the conformance kit."""

from __future__ import annotations

from tokenbench_testing import HardwareKit


class TestCpu(HardwareKit):
    """All checks, on this host."""

    name = "cpu"
