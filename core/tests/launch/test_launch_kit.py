"""The launcher `local` passes the conformance kit of launchers."""

from __future__ import annotations

from tokenbench_testing import LauncherKit


class TestLocal(LauncherKit):
    """The kit on this machine."""

    name = "local"
