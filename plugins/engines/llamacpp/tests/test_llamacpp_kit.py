"""The engine `llamacpp` passes the conformance kit."""

from __future__ import annotations

from tokenbench.api import Counters
from tokenbench_testing import EngineKit

# Captured from xllamacpp 2026.10.11549 on 2026-11-21; comment lines left out.
_PAGE = """\
llamacpp:prompt_tokens_total 38
llamacpp:prompt_tokens_cached_total 4
llamacpp:tokens_predicted_total 8
llamacpp:requests_processing 0
llamacpp:requests_deferred 2
"""


class TestLlamaCpp(EngineKit):
    """All checks, including those with the real server."""

    name = "llamacpp"
    real = "smollm2"
    metrics_page = _PAGE
    counters = Counters(
        prompt_tokens=42.0,
        cached_prompt_tokens=4.0,
        generated_tokens=8.0,
        running=0.0,
        waiting=2.0,
    )
