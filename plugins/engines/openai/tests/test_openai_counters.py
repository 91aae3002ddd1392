"""Counters of a data-parallel vLLM, by captured pages: see captured/README.md."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenbench_engine_openai.engine import OpenAIServer
from tokenbench_engine_openai.options import OpenAIOptions

from tokenbench.api import Counters, MetricsPage, parse_metrics

CAPTURED = Path(__file__).parent / "captured"


def _page(name: str) -> MetricsPage:
    return parse_metrics((CAPTURED / f"vllm-dp2-{name}.txt").read_text())


def _counters(*pages: MetricsPage, server: str = "vllm") -> Counters:
    options = OpenAIOptions(base_url="http://127.0.0.1:1", model="m", server=server)
    return OpenAIServer(options).counters(pages)


def test_counters_are_added_up_over_ranks() -> None:
    """They equal what usage said of the 22 requests."""
    found = _counters(_page("after"))
    assert (found.prompt_tokens, found.generated_tokens) == (22 * 300, 22 * 40)
    assert found.cached_prompt_tokens == 512
    assert found.finished is not None and found.finished["length"] == 22
    assert sum(found.finished.values()) == 22
    assert found.queue_time_s is not None and found.queue_time_s.count == 22
    assert (found.running, found.waiting, found.preemptions) == (0, 0, 0)


def test_speculation_agrees_with_itself() -> None:
    """Accepted tokens by position add up; each rank drafted."""
    page = _page("after")
    found = _counters(page)
    assert found.accepted_by_position == (221, 192, 164)
    assert found.accepted_draft_tokens == sum(found.accepted_by_position) == 577
    assert (found.drafts, found.draft_tokens) == (224, 600)
    ranks = [page.sum("vllm:spec_decode_num_drafts_total", engine=rank) for rank in "01"]
    assert all(ranks) and sum(rank or 0 for rank in ranks) == found.drafts
    # A step with a draft gives the accepted tokens and one more; other steps give one.
    assert found.generated_tokens is not None
    assert found.drafts + found.accepted_draft_tokens <= found.generated_tokens


def test_a_share_is_that_of_the_fullest_rank() -> None:
    """Not the sum, which may exceed 1."""
    page = _page("during")
    by_rank = [page.max("vllm:kv_cache_usage_perc", engine=rank) for rank in "01"]
    assert _counters(page).kv_usage == max(rank or 0.0 for rank in by_rank) < 0.001
    assert _counters(page).running == 3


def test_times_between_two_pages() -> None:
    """Of the 20 requests in between: ten at a time on four places, so most of them queued."""
    before, after = _counters(_page("before")), _counters(_page("after"))
    assert before.queue_time_s is not None and after.queue_time_s is not None
    between = after.queue_time_s.since(before.queue_time_s)
    assert between is not None and between.count == 20
    assert between.mean == pytest.approx(0.1048, abs=1e-4)
    assert before.queue_time_s.since(after.queue_time_s) is None


def test_pages_of_replicas_are_added_up() -> None:
    """Two servers behind one address."""
    one, two = _counters(_page("after")), _counters(_page("after"), _page("before"))
    assert one.prompt_tokens is not None and two.prompt_tokens == one.prompt_tokens + 600


def test_a_page_without_speculation_has_no_drafts() -> None:
    """None, not 0: it was not measured."""
    found = _counters(parse_metrics('vllm:prompt_tokens_total{engine="0"} 5\n'))
    assert found == Counters(prompt_tokens=5.0)
    assert _counters(_page("after"), server="generic") == Counters()
