"""The conformance kit, and what the kit cannot know."""

from tinypools.plugin import TinyPools

from tokenbench.api import Counters, parse_metrics
from tokenbench_testing import EngineKit


class TestTinyPools(EngineKit):
    name = "tinypools"
    metrics_page = "tiny_requests 2\ntiny_prompt_tokens 10\ntiny_generated_tokens 6\n"
    counters = Counters(requests=2, prompt_tokens=10, generated_tokens=6)


def test_a_request_counts_once() -> None:
    """Prefill and decode both count it."""
    prefill = parse_metrics("tiny_requests 2\ntiny_prompt_tokens 10\n", role="prefill")
    decode = parse_metrics("tiny_requests 2\ntiny_generated_tokens 6\n", role="decode")
    expected = Counters(requests=2, prompt_tokens=10, generated_tokens=6)
    assert TinyPools().counters([prefill, decode]) == expected
