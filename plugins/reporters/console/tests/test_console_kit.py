"""The reporter `console` passes the conformance kit."""

from __future__ import annotations

from tokenbench.api import FrozenMap
from tokenbench_testing import ReporterKit


class TestConsole(ReporterKit):
    """With default options."""

    name = "console"


class TestConsoleAll(ReporterKit):
    """With invalid and failed points."""

    name = "console"
    options = FrozenMap(all=True)
