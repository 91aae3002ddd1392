"""The MiniMax models pass the conformance kit."""

from __future__ import annotations

from tokenbench_testing import ModelKit


class TestMinimaxM25(ModelKit):
    """All checks."""

    name = "minimax-m2.5"


class TestMinimaxM27(ModelKit):
    """All checks."""

    name = "minimax-m2.7"


class TestMinimaxM3(ModelKit):
    """All checks."""

    name = "minimax-m3"
