"""Counters of pools: each prompt and each answer once."""

from __future__ import annotations

from tokenbench.api import Counters, MetricsPage, counters_of_pools, parse_metrics


def _count(page: MetricsPage) -> Counters:
    return Counters(
        prompt_tokens=page.sum("prompts"),
        cached_prompt_tokens=page.sum("cached"),
        external_cached_prompt_tokens=page.sum("external"),
        generated_tokens=page.sum("generated"),
        requests=page.sum("requests"),
        running=page.sum("running"),
        waiting=page.sum("waiting"),
        preemptions=page.sum("preemptions"),
        kv_usage=page.max("usage"),
        prefill_time_s=page.histogram("prefill_s"),
    )


_PAGE = (
    "prompts 100\ncached 10\nexternal {external}\ngenerated {generated}\nrequests 4\n"
    "running {running}\nwaiting 1\npreemptions 2\nusage {usage}\n"
    'prefill_s_bucket{{le="+Inf"}} 4\nprefill_s_sum {seconds}\nprefill_s_count 4\n'
)


def _page(role: str, **values: float) -> MetricsPage:
    found = {"external": 0, "generated": 40, "running": 0, "usage": 0.1, "seconds": 1, **values}
    return parse_metrics(_PAGE.format(**found), role=role)


def test_prefill_and_decode() -> None:
    """Tokens and times of the pool that makes them; what both hold is added up."""
    pages = (
        _page("prefill", external=5, generated=2, running=3, usage=0.5, seconds=8),
        _page("prefill", external=5, generated=2, running=3, usage=0.7, seconds=8),
        # What decode calls external came from prefill.
        _page("decode", external=100, running=2),
    )
    found = counters_of_pools(pages, _count)
    assert (found.prompt_tokens, found.cached_prompt_tokens) == (200, 20)
    assert found.external_cached_prompt_tokens == 10
    assert (found.generated_tokens, found.requests) == (40, 4)
    assert (found.running, found.waiting, found.preemptions) == (8, 3, 6)
    assert found.kv_usage == 0.7
    assert found.prefill_time_s is not None and found.prefill_time_s.sum == 16


def test_alike_or_alone() -> None:
    """Servers that are alike are added up; a pool alone is what it counts."""
    assert counters_of_pools((_page("server"), _page("server")), _count).generated_tokens == 80
    assert counters_of_pools((_page("decode"),), _count).prompt_tokens == 100
    assert counters_of_pools((), _count) == Counters()


def test_what_one_pool_does_not_count_is_unknown() -> None:
    """None is not zero."""
    without = parse_metrics("prompts 1\n", role="prefill")
    found = counters_of_pools((without, _page("decode")), _count)
    assert (found.running, found.waiting, found.preemptions) == (None, None, None)
    assert (found.cached_prompt_tokens, found.prefill_time_s) == (None, None)
    assert found.kv_usage == 0.1
