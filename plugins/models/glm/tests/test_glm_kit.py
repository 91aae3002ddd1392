"""The GLM models pass the conformance kit."""

from __future__ import annotations

from tokenbench_testing import ModelKit


class TestGlm5(ModelKit):
    """All checks."""

    name = "glm-5"


class TestGlm51(ModelKit):
    """All checks."""

    name = "glm-5.1"


class TestGlm52(ModelKit):
    """All checks."""

    name = "glm-5.2"
