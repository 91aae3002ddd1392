"""An engine's own counters in the common vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from .frozen import FrozenMap
from .prometheus import Histogram, MetricsPage, merge_pages
from .topology import DECODE, PREFILL


@attrs.frozen(kw_only=True)
class Counters:
    """An engine's own counters in a common vocabulary; None for counters it does not have.

    Cumulative since the server started, except the gauges `running`, `waiting`, `kv_usage` and
    `kv_capacity_tokens`. `prompt_tokens` counts all prompt tokens, computed or read from a cache;
    `cached_prompt_tokens` those read from a cache. `requests` counts successful ones, `finished` by
    the reason why they ended.

    Speculation: `drafts` are rounds of drafting, `draft_tokens` what they proposed,
    `accepted_draft_tokens` what the target model accepted, `accepted_by_position` the same by the
    position in the draft.

    `external_cached_prompt_tokens`: prompt tokens read from a cache outside of the engine's own,
    such as one in host memory or on other hosts. `kv_capacity_tokens`: what the KV cache can hold,
    on all replicas together. `preemptions` counts requests whose KV cache was taken from them.
    `kv_usage` is the share of the KV cache in use, 0 to 1, of the fullest replica. `queue_time_s`,
    `prefill_time_s`, `decode_time_s`: how long requests waited to be scheduled, until their first
    token, and after it.
    """

    prompt_tokens: float | None = None
    cached_prompt_tokens: float | None = None
    generated_tokens: float | None = None
    requests: float | None = None
    finished: FrozenMap[float] | None = None
    running: float | None = None
    waiting: float | None = None
    drafts: float | None = None
    draft_tokens: float | None = None
    accepted_draft_tokens: float | None = None
    accepted_by_position: tuple[float, ...] | None = None
    preemptions: float | None = None
    kv_usage: float | None = None
    external_cached_prompt_tokens: float | None = None
    kv_capacity_tokens: float | None = None
    queue_time_s: Histogram | None = None
    prefill_time_s: Histogram | None = None
    decode_time_s: Histogram | None = None


def counters_of_pools(
    pages: Sequence[MetricsPage], count: Callable[[MetricsPage], Counters]
) -> Counters:
    """The sum of what `count` reads from all pages. If prefill and decode are disaggregated, each
    prompt and each answer counts once.

    Both pools count every prompt, and prefill generates one token of each answer that decode
    generates again. So prompts, the share of them that came from caches, and the times until the
    first token are those of prefill. Requests and answers are those of decode. Running, waiting and
    preempted requests are added up; `kv_usage` is that of the fullest.
    """
    prefill = [page for page in pages if page.role == PREFILL]
    decode = [page for page in pages if page.role == DECODE]
    if not (prefill and decode):
        return count(merge_pages(pages))
    first, rest = count(merge_pages(prefill)), count(merge_pages(decode))
    return attrs.evolve(
        rest,
        prompt_tokens=first.prompt_tokens,
        cached_prompt_tokens=first.cached_prompt_tokens,
        external_cached_prompt_tokens=first.external_cached_prompt_tokens,
        queue_time_s=first.queue_time_s,
        prefill_time_s=first.prefill_time_s,
        running=_added(first.running, rest.running),
        waiting=_added(first.waiting, rest.waiting),
        preemptions=_added(first.preemptions, rest.preemptions),
        kv_usage=max((u for u in (first.kv_usage, rest.kv_usage) if u is not None), default=None),
    )


def _added(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first + second
