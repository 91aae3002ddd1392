"""The Llama models pass the conformance kit."""

from __future__ import annotations

from tokenbench_testing import ModelKit


class TestLlama3370b(ModelKit):
    """All checks."""

    name = "llama-3.3-70b"
