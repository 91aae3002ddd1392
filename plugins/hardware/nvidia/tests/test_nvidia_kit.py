"""The hardware `nvidia` keeps the contract of its kind."""

from __future__ import annotations

from tokenbench.testing import HardwareKit


class TestNvidia(HardwareKit):
    """The conformance kit on NVIDIA GPUs."""

    name = "nvidia"
