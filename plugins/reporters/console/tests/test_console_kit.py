"""The conformance kit, on `console`."""

from __future__ import annotations

from tokenbench.api import FrozenMap
from tokenbench.testing import ReporterKit


class TestConsole(ReporterKit):
    """As a user gets it."""

    name = "console"


class TestConsoleAll(ReporterKit):
    """With the points that are hidden otherwise."""

    name = "console"
    options = FrozenMap(all=True)
