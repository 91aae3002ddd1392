"""SGLang's metrics in the common vocabulary. Names: SGLang 0.5.23 on CPU, captured 2026-12-01."""

from __future__ import annotations

import attrs

from tokenbench.api import Counters, FrozenMap, MetricsPage

_PROMPTS, _CACHED = "sglang:prompt_tokens_total", "sglang:cached_tokens_total"
_ACCELERATOR = ("device", "total")


def counters(page: MetricsPage) -> Counters:
    """Sums over servers and data-parallel ranks. Requests and tokens are counted by the tokenizer,
    once for all ranks; gauges are per attention group and pipeline stage, of which only the first
    stage counts.
    """
    prompts, requests = page.sum(_PROMPTS), page.sum("sglang:num_requests_total")
    generated = page.sum("sglang:generation_tokens_total")
    sources = page.by(_CACHED, "cache_source") or FrozenMap[float]()
    # The counter appears with the first hit.
    known = None if prompts is None else 0.0
    found = Counters(
        prompt_tokens=prompts,
        cached_prompt_tokens=sum(sources.values()) if sources else known,
        external_cached_prompt_tokens=sum(
            (n for source, n in sources.items() if source not in _ACCELERATOR), known or 0.0
        )
        if prompts is not None
        else None,
        generated_tokens=generated,
        requests=requests,
        running=_gauge(page, "sglang:num_running_reqs"),
        waiting=_gauge(page, "sglang:num_queue_reqs"),
        preemptions=_preemptions(page),
        kv_usage=page.max("sglang:token_usage"),
        kv_capacity_tokens=_gauge(page, "sglang:max_total_num_tokens"),
        queue_time_s=page.histogram("sglang:queue_time_seconds"),
    )
    return _speculation(found, page)


def _speculation(found: Counters, page: MetricsPage) -> Counters:
    """SGLang counts only verifications. Each yields the accepted drafts and one more token, and
    prefill yields the first; so the accepted drafts are the other generated tokens. Drafts accepted
    beyond the end of an answer are not counted.
    """
    drafts = page.sum("sglang:spec_verify_calls_total")
    generated, requests = found.generated_tokens, found.requests
    if drafts is None or generated is None or requests is None:
        return found
    # Includes the token that is also verified.
    each = page.max("sglang:spec_num_draft_tokens")
    return attrs.evolve(
        found,
        drafts=drafts,
        draft_tokens=drafts * (each - 1) if each else None,
        accepted_draft_tokens=max(0.0, generated - requests - drafts),
    )


def _gauge(page: MetricsPage, name: str) -> float | None:
    """The sum over data-parallel ranks, without the later stages of a pipeline."""
    values = [one.value for one in page.series(name) if one.labels.get("pp_rank", "0") == "0"]
    return sum(values) if values else None


def _preemptions(page: MetricsPage) -> float | None:
    """The counter appears with the first one; the gauge is always there."""
    found = _gauge(page, "sglang:num_retracted_requests_total")
    return 0.0 if found is None and page.series("sglang:num_retracted_reqs") else found
