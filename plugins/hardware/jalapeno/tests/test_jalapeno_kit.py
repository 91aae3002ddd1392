"""The hardware `jalapeno` passes the conformance kit."""

from __future__ import annotations

from tokenbench_testing import HardwareKit


class TestJalapeno(HardwareKit):
    """All checks that need no device."""

    name = "jalapeno"
