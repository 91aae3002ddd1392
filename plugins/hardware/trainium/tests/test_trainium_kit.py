"""The hardware `trainium` passes the conformance kit."""

from __future__ import annotations

from tokenbench_testing import HardwareKit


class TestTrainium(HardwareKit):
    """All checks that need no device."""

    name = "trainium"
