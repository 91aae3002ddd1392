"""The conformance kit."""

from tokenbench_testing import LauncherKit


class TestTinyBox(LauncherKit):
    name = "tinybox"
