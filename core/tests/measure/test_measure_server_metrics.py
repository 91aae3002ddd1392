"""Metrics from the engine's counters."""

from __future__ import annotations

import pytest

from tokenbench.api import Counters, FrozenMap, Histogram
from tokenbench.measure.definitions import BY_NAME
from tokenbench.measure.server_metrics import server_metrics


def _times(total: float, count: float) -> Histogram:
    return Histogram(sum=total, count=count)


BEFORE = Counters(
    prompt_tokens=100.0,
    cached_prompt_tokens=10.0,
    drafts=10.0,
    draft_tokens=30.0,
    accepted_draft_tokens=15.0,
    preemptions=2.0,
    queue_time_s=_times(4.0, 2.0),
    decode_time_s=_times(8.0, 2.0),
)
AFTER = Counters(
    prompt_tokens=300.0,
    cached_prompt_tokens=60.0,
    drafts=38.0,
    draft_tokens=114.0,
    accepted_draft_tokens=61.0,
    preemptions=5.0,
    queue_time_s=_times(10.0, 6.0),
    decode_time_s=_times(8.0, 2.0),
    finished=FrozenMap({"length": 6.0}),
)


def test_growth_between_the_scrapes() -> None:
    """Acceptance length as vLLM defines it (its log: 1 + accepted / drafts); means of times over
    the requests between the scrapes. No request, no mean.
    """
    found = server_metrics(BEFORE, AFTER, [])
    assert found["cached_prompt_share.server"] == 0.25
    assert found["acceptance_length.server"] == 1 + 46 / 28
    assert found["accepted_draft_share.server"] == 46 / 84
    assert found["preemptions.server"] == 3.0
    assert found["queue_time_s.server"] == 1.5
    assert found["decode_time_s.server"] is None
    assert found["prefill_time_s.server"] is None


def test_gauges_over_the_repeat() -> None:
    """Means and the maximum over the scrapes that have the gauge."""
    scrapes = [
        Counters(running=4.0, waiting=0.0, kv_usage=0.25),
        Counters(running=2.0, waiting=3.0, kv_usage=0.75),
        Counters(),
    ]
    found = server_metrics(None, None, scrapes)
    assert found["running_requests.server"] == 3.0
    assert found["waiting_requests.server"] == 1.5
    assert found["kv_cache_use_mean.server"] == 0.5
    assert found["kv_cache_use_max.server"] == 0.75
    assert found["preemptions.server"] is None


@pytest.mark.parametrize(("before", "after"), [(None, AFTER), (BEFORE, None), (AFTER, BEFORE)])
def test_none_without_growth(before: Counters | None, after: Counters | None) -> None:
    """A scrape is missing, or the server was restarted in between."""
    found = server_metrics(before, after, [])
    assert set(found.values()) == {None}
    assert all(name in BY_NAME for name in found)
