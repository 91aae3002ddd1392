"""The hardware `tpu` passes the conformance kit."""

from __future__ import annotations

from tokenbench_testing import HardwareKit


class TestTpus(HardwareKit):
    """All checks that need no device."""

    name = "tpu"
