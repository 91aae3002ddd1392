"""The engine `llmd` passes the conformance kit."""

from __future__ import annotations

from tokenbench_testing import EngineKit


class TestLlmd(EngineKit):
    """With servers of the engine vllm, which core gives; without a real server."""

    name = "llmd"
