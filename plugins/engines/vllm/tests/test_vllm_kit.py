"""The engine `vllm` passes the conformance kit."""

from __future__ import annotations

from pathlib import Path

import attrs
from tokenbench_engine_vllm.counters import counters

from tokenbench.api import Counters, FrozenMap, parse_metrics
from tokenbench_testing import EngineKit

_PAGE = (Path(__file__).parent / "data/metrics.txt").read_text(encoding="utf-8")
# Read from the page by eye; its histograms have a test of their own.
_EXPECTED = Counters(
    prompt_tokens=634.0,
    cached_prompt_tokens=256.0,
    generated_tokens=36.0,
    requests=3.0,
    finished=FrozenMap({"stop": 0.0, "length": 3.0, "abort": 0.0, "error": 0.0, "repetition": 0.0}),
    running=0.0,
    waiting=0.0,
    preemptions=0.0,
    kv_usage=0.0,
    external_cached_prompt_tokens=0.0,
    kv_capacity_tokens=46592.0,
)
_TIMES = ("queue_time_s", "prefill_time_s", "decode_time_s")


class TestVllm(EngineKit):
    """All checks but those with the real server, which has tests of its own."""

    name = "vllm"
    metrics_page = _PAGE
    counters = attrs.evolve(
        _EXPECTED,
        **{name: getattr(counters(parse_metrics(_PAGE)), name) for name in _TIMES},
    )


def test_times_of_the_page() -> None:
    """Histograms of how long the three requests waited, until their first token and after it."""
    found = counters(parse_metrics(_PAGE))
    assert found.queue_time_s is not None and found.prefill_time_s is not None
    assert found.decode_time_s is not None
    assert found.queue_time_s.count == found.prefill_time_s.count == 3
    assert round(found.queue_time_s.sum, 7) == 8.58e-05
    assert round(found.prefill_time_s.sum, 4) == 1.3006
    assert round(found.decode_time_s.sum, 4) == 1.117
