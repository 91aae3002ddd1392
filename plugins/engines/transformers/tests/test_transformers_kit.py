"""The engine `transformers` passes the conformance kit."""

from __future__ import annotations

from tokenbench_testing import EngineKit


class TestTransformers(EngineKit):
    """All checks but those with the real server, which has tests of its own
    (tests/test_transformers_real.py).
    """

    name = "transformers"
