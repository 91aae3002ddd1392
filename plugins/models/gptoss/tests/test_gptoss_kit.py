"""The gpt-oss models pass the conformance kit."""

from __future__ import annotations

from tokenbench_testing import ModelKit


class TestGptOss120b(ModelKit):
    """All checks."""

    name = "gpt-oss-120b"


class TestGptOss20b(ModelKit):
    """All checks."""

    name = "gpt-oss-20b"
