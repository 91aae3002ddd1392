"""TensorRT-LLM's metrics in the common vocabulary. Names: its metrics/collector.py@050f80d, read
2026-12-01; no page of a real server was available.

Counters of requests are increased when a request ends. Those of iterations (`kv_cache_*`,
`num_requests_*`, `spec_decode_num_*`) are not used where they would have to be complete: the server
takes all iterations since the last request ended and keeps the last one (openai_server.py,
`_iteration_stats_collector_loop`).
"""

from __future__ import annotations

from collections.abc import Mapping

from tokenbench.api import Counters, MetricsPage

_P = "trtllm_"
_SUCCESS = f"{_P}request_success_total"
# Finish reasons of requests without a complete answer.
_BROKEN = ("cancelled", "timeout", "error")


def counters(page: MetricsPage) -> Counters:
    """Sums over servers."""
    drafted = page.by(f"{_P}spec_decode_drafted_tokens_total", "token_position")
    accepted: Mapping[str, float] = (
        page.by(f"{_P}spec_decode_accepted_tokens_total", "token_position") or {}
    )
    return Counters(
        prompt_tokens=page.sum(f"{_P}prompt_tokens_total"),
        cached_prompt_tokens=page.sum(f"{_P}prompt_cached_tokens_total"),
        generated_tokens=page.sum(f"{_P}generation_tokens_total"),
        requests=page.sum_without(_SUCCESS, "finished_reason", _BROKEN),
        finished=page.by(_SUCCESS, "finished_reason"),
        # The first position counts every draft.
        drafts=None if drafted is None else drafted.get("0", 0.0),
        draft_tokens=None if drafted is None else sum(drafted.values()),
        accepted_draft_tokens=None if drafted is None else sum(accepted.values()),
        accepted_by_position=None
        if drafted is None
        else tuple(accepted.get(place, 0.0) for place in sorted(drafted, key=int)),
        kv_usage=page.max(f"{_P}kv_cache_utilization"),
        kv_capacity_tokens=_capacity(page),
        queue_time_s=page.histogram(f"{_P}request_queue_time_seconds"),
        prefill_time_s=page.histogram(f"{_P}request_prefill_time_seconds"),
        decode_time_s=page.histogram(f"{_P}request_decode_time_seconds"),
    )


def _capacity(page: MetricsPage) -> float | None:
    blocks = page.sum(f"{_P}kv_cache_max_blocks")
    size = page.max(f"{_P}kv_cache_tokens_per_block")
    return None if blocks is None or size is None else blocks * size
