"""The DeepSeek models pass the conformance kit."""

from __future__ import annotations

from tokenbench_testing import ModelKit


class TestDeepseekR10528(ModelKit):
    """All checks."""

    name = "deepseek-r1-0528"


class TestDeepseekV32(ModelKit):
    """All checks."""

    name = "deepseek-v3.2"


class TestDeepseekV4Pro(ModelKit):
    """All checks."""

    name = "deepseek-v4-pro"


class TestDeepseekV4Flash(ModelKit):
    """All checks."""

    name = "deepseek-v4-flash"
