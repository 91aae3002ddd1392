"""The reporter `html` passes the conformance kit."""

from __future__ import annotations

from tokenbench_testing import ReporterKit


class TestHtml(ReporterKit):
    """With default options."""

    name = "html"
