"""The engine `sglang` passes the conformance kit."""

from __future__ import annotations

from pathlib import Path

import attrs
from tokenbench_engine_sglang.counters import counters

from tokenbench.api import Counters, parse_metrics
from tokenbench_testing import EngineKit

_PAGE = (Path(__file__).parent / "data/metrics.txt").read_text(encoding="utf-8")
# Read from the page by eye: the server's own first request, two completions of the same 300 tokens
# and a chat, of 12 tokens each. The histogram has a test of its own.
_EXPECTED = Counters(
    prompt_tokens=638.0,
    cached_prompt_tokens=299.0,
    external_cached_prompt_tokens=0.0,
    generated_tokens=44.0,
    requests=4.0,
    running=0.0,
    waiting=0.0,
    preemptions=0.0,
    kv_usage=0.0,
    kv_capacity_tokens=8192.0,
)


class TestSglang(EngineKit):
    """All checks but those with the real server, which has tests of its own."""

    name = "sglang"
    metrics_page = _PAGE
    counters = attrs.evolve(_EXPECTED, queue_time_s=counters(parse_metrics(_PAGE)).queue_time_s)


def test_times_of_the_page() -> None:
    """How long requests waited; two questions for health are counted here, and nowhere else."""
    found = counters(parse_metrics(_PAGE)).queue_time_s
    assert found is not None
    assert (found.count, round(found.sum, 4)) == (6, 0.0213)
