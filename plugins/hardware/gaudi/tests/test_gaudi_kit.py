"""The hardware `gaudi` passes the conformance kit."""

from __future__ import annotations

from tokenbench_testing import HardwareKit


class TestGaudi(HardwareKit):
    """All checks that need no device."""

    name = "gaudi"
