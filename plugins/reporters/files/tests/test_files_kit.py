"""The reporter `files` passes the conformance kit."""

from __future__ import annotations

from tokenbench.api import FrozenMap
from tokenbench_testing import ReporterKit


class TestFiles(ReporterKit):
    """With default options."""

    name = "files"


class TestFilesAll(ReporterKit):
    """With all formats, and the columns described."""

    name = "files"
    options = FrozenMap(formats=("json", "csv", "parquet"), describe=True)
