"""The conformance kit, on `files`."""

from __future__ import annotations

from tokenbench.api import FrozenMap
from tokenbench.testing import ReporterKit


class TestFiles(ReporterKit):
    """As a user gets it."""

    name = "files"


class TestFilesAll(ReporterKit):
    """In every format."""

    name = "files"
    options = FrozenMap(formats=("json", "csv", "parquet"))
