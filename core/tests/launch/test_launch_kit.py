"""The launcher `local` keeps the contract of its kind."""

from __future__ import annotations

from tokenbench.testing import LauncherKit


class TestLocal(LauncherKit):
    """The conformance kit on this machine."""

    name = "local"
