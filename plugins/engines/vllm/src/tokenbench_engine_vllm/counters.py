"""vLLM's metrics in the common vocabulary. Names: vLLM 0.23 on a GPU and 0.32 on CPU, captured
2026-11.
"""

from __future__ import annotations

from tokenbench.api import Counters, MetricsPage

_FINISHED = "vllm:request_success_total"
_DRAFTS = "vllm:spec_decode_num_"
_CACHED = "vllm:prompt_tokens_cached_total"


def counters(page: MetricsPage) -> Counters:
    """Sums over servers and data-parallel ranks, which have a series each (label `engine`).

    `prompt_tokens_cached_total` counts what usage reports as cached tokens. Versions without it
    only count prefix cache hits, which include those of preempted requests.
    """
    cached = page.sum(_CACHED) if page.series(_CACHED) else page.sum("vllm:prefix_cache_hits_total")
    return Counters(
        prompt_tokens=page.sum("vllm:prompt_tokens_total"),
        cached_prompt_tokens=cached,
        generated_tokens=page.sum("vllm:generation_tokens_total"),
        # Aborted and failed requests have the same name.
        requests=page.sum_without(_FINISHED, "finished_reason", ("abort", "error")),
        finished=page.by(_FINISHED, "finished_reason"),
        running=page.sum("vllm:num_requests_running"),
        waiting=page.sum("vllm:num_requests_waiting"),
        drafts=page.sum(f"{_DRAFTS}drafts_total"),
        draft_tokens=page.sum(f"{_DRAFTS}draft_tokens_total"),
        accepted_draft_tokens=page.sum(f"{_DRAFTS}accepted_tokens_total"),
        accepted_by_position=page.by_number(f"{_DRAFTS}accepted_tokens_per_pos_total", "position"),
        preemptions=page.sum("vllm:num_preemptions_total"),
        kv_usage=page.max("vllm:kv_cache_usage_perc"),
        external_cached_prompt_tokens=page.sum("vllm:external_prefix_cache_hits_total"),
        kv_capacity_tokens=_capacity(page),
        queue_time_s=page.histogram("vllm:request_queue_time_seconds"),
        prefill_time_s=page.histogram("vllm:request_prefill_time_seconds"),
        decode_time_s=page.histogram("vllm:request_decode_time_seconds"),
    )


def _capacity(page: MetricsPage) -> float | None:
    """Blocks times block size, summed over engines, which report both as labels."""
    found = page.series("vllm:cache_config_info")
    try:
        sizes = [int(one.labels["num_gpu_blocks"]) * int(one.labels["block_size"]) for one in found]
    except (KeyError, ValueError):  # A block count of None while the engine starts.
        return None
    return float(sum(sizes)) if sizes else None
