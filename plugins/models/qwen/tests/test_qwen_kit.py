"""The Qwen models pass the conformance kit."""

from __future__ import annotations

from tokenbench_testing import ModelKit


class TestQwen35397bA17b(ModelKit):
    """All checks."""

    name = "qwen3.5-397b-a17b"


class TestQwen35122bA10b(ModelKit):
    """All checks."""

    name = "qwen3.5-122b-a10b"


class TestQwen3535bA3b(ModelKit):
    """All checks."""

    name = "qwen3.5-35b-a3b"


class TestQwen3527b(ModelKit):
    """All checks."""

    name = "qwen3.5-27b"
