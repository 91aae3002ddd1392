"""The definitions of the metrics that come from the engine's own counters."""

from __future__ import annotations

_GROWTH = "by the engine's counters, between the scrapes before and after the repeat"
_TIME = (
    "over the requests that finished in the repeat, by the engine's histogram before and after it"
)
_SCRAPED = "by the engine's gauge, scraped once a second"

SERVER_METRICS = (
    (
        "cached_prompt_share.server",
        "cached share of the prompts, by the server's counters",
        "1",
        "Prompt tokens read from a cache / prompt tokens, both from the engine's counters.",
        None,
    ),
    (
        "external_cached_prompt_share.server",
        "share of the prompts from an external cache, by the server's counters",
        "1",
        (
            "Prompt tokens read from a cache outside of the engine's own / prompt tokens, both "
            "from the engine's counters."
        ),
        None,
    ),
    (
        "working_set_share.server",
        "working set / KV capacity",
        "1",
        "Working set / tokens that the engine's KV cache can hold.",
        None,
    ),
    (
        "preemptions.server",
        "preemptions",
        "requests",
        "Requests that the engine preempted, by its counter.",
        False,
    ),
    (
        "accepted_draft_share.server",
        "accepted share of the draft tokens",
        "1",
        "Draft tokens accepted / draft tokens proposed, by the engine's counters.",
        True,
    ),
    (
        "acceptance_length.server",
        "acceptance length",
        "tok",
        f"Mean tokens per step with speculation: 1 + draft tokens accepted / drafts, {_GROWTH}.",
        True,
    ),
    (
        "queue_time_s.server",
        "queueing time, mean",
        "s",
        f"Time from the arrival of a request to its scheduling, mean {_TIME}.",
        False,
    ),
    (
        "prefill_time_s.server",
        "prefill time, mean",
        "s",
        f"Time from the scheduling of a request to its first token, mean {_TIME}.",
        False,
    ),
    (
        "decode_time_s.server",
        "decode time, mean",
        "s",
        f"Time from the first to the last token of a request, mean {_TIME}.",
        False,
    ),
    (
        "running_requests.server",
        "mean number of running requests",
        "requests",
        f"Mean number of running requests, {_SCRAPED}.",
        None,
    ),
    (
        "waiting_requests.server",
        "mean number of waiting requests",
        "requests",
        "Mean of the engine's gauge of waiting requests, scraped once a second.",
        False,
    ),
    (
        "kv_cache_use_mean.server",
        "mean use of the KV cache",
        "1",
        f"Mean share of the KV cache in use, where it is fullest, {_SCRAPED}.",
        None,
    ),
    (
        "kv_cache_use_max.server",
        "largest use of the KV cache",
        "1",
        "Maximum of the engine's gauge of KV cache use, scraped once a second.",
        None,
    ),
)
"""Name, title, unit, definition, and whether more is better."""
