"""The conformance kit."""

from tokenbench_testing import ReporterKit


class TestTinyReport(ReporterKit):
    name = "tinyreport"
