"""The hardware `amd` passes the conformance kit."""

from __future__ import annotations

from tokenbench_testing import HardwareKit


class TestAmdGpus(HardwareKit):
    """All checks that need no device."""

    name = "amd"
