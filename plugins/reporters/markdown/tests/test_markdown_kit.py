"""The reporter `markdown` passes the conformance kit."""

from __future__ import annotations

from tokenbench.api import FrozenMap
from tokenbench_testing import ReporterKit


class TestMarkdown(ReporterKit):
    """With default options."""

    name = "markdown"


class TestMarkdownPrinted(ReporterKit):
    """Printed, with invalid and failed points."""

    name = "markdown"
    options = FrozenMap(output="-", all=True)
