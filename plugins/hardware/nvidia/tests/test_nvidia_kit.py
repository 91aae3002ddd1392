"""The hardware `nvidia` passes the conformance kit."""

from __future__ import annotations

from tokenbench.testing import HardwareKit


class TestNvidia(HardwareKit):
    """All checks, with the GPUs of this machine."""

    name = "nvidia"
