"""The conformance kit."""

from tokenbench.testing import ReporterKit


class TestTinyReport(ReporterKit):
    name = "tinyreport"
