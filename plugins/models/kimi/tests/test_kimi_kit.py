"""The Kimi models pass the conformance kit."""

from __future__ import annotations

from tokenbench_testing import ModelKit


class TestKimiK25(ModelKit):
    """All checks."""

    name = "kimi-k2.5"


class TestKimiK26(ModelKit):
    """All checks."""

    name = "kimi-k2.6"


class TestKimiK3(ModelKit):
    """All checks."""

    name = "kimi-k3"
