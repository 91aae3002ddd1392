"""Dynamo's metrics in the common vocabulary. Names: Dynamo 1.6.1, captured 2026-11-30."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from tokenbench.api import Counters, Engine, MetricsPage, merge_pages

FRONTEND = "frontend"
_OWN = "dynamo_frontend_"
_COMPONENT = "dynamo_component_"
# A worker's other endpoints are for the router.
_ENDPOINT = "generate"
# Counters that only the workers' engine can have.
_OF_WORKERS = (
    "drafts",
    "draft_tokens",
    "accepted_draft_tokens",
    "accepted_by_position",
    "preemptions",
    "kv_usage",
    "queue_time_s",
    "prefill_time_s",
    "decode_time_s",
)


def counters(pages: Sequence[MetricsPage], engine: Engine | None = None) -> Counters:
    """Requests and tokens are the frontend's: it counts each request once, while prefill and decode
    workers both count it. Other counters are the workers'.

    Args:
        engine: the engine that the workers wrap; None for the mocker.
    """
    frontend = [page for page in pages if page.role == FRONTEND]
    workers = [page for page in pages if page.role != FRONTEND]
    if not frontend:
        return _worker(workers, engine)
    found = _frontend(merge_pages(frontend))
    own = _worker(workers, engine)
    return attrs.evolve(found, **{name: getattr(own, name) for name in _OF_WORKERS})


def _frontend(page: MetricsPage) -> Counters:
    """Output tokens come from their histogram: `output_tokens_total` omits tokens that arrive with
    the end of an answer.
    """
    return Counters(
        prompt_tokens=page.sum(f"{_OWN}input_sequence_tokens_sum"),
        cached_prompt_tokens=page.sum(f"{_OWN}cached_tokens_sum"),
        generated_tokens=page.sum(f"{_OWN}output_sequence_tokens_sum"),
        requests=page.sum(f"{_OWN}requests_total", status="success"),
        finished=page.by(f"{_OWN}requests_total", "status"),
        running=page.sum(f"{_OWN}inflight_requests"),
        waiting=page.sum(f"{_OWN}queued_requests"),
    )


def _worker(pages: Sequence[MetricsPage], engine: Engine | None) -> Counters:
    """The wrapped engine's counters; requests are those that reached Dynamo's worker."""
    page = merge_pages(pages)
    found = _mocker(page) if engine is None else engine.counters(pages)
    requests = page.sum(f"{_COMPONENT}requests_total", dynamo_endpoint=_ENDPOINT)
    running = page.sum(f"{_COMPONENT}inflight_requests", dynamo_endpoint=_ENDPOINT)
    return attrs.evolve(
        found,
        requests=found.requests if requests is None else requests,
        running=found.running if found.running is not None else running,
    )


def _mocker(page: MetricsPage) -> Counters:
    """The mocker reports some of vLLM's metrics, under vLLM's names, but no token counts."""
    return Counters(
        running=page.sum("vllm:num_requests_running"),
        waiting=page.sum("vllm:num_requests_waiting"),
        preemptions=page.sum("vllm:num_preemptions_total"),
        kv_usage=page.max("vllm:kv_cache_usage_perc"),
    )
