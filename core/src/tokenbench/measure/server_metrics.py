"""Metrics from the engine's own counters, between the scrapes before and after a repeat."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Counters, Histogram

from .percentiles import Metrics

_TIMES = ("queue_time_s", "prefill_time_s", "decode_time_s")


def server_metrics(
    before: Counters | None, after: Counters | None, scrapes: Sequence[Counters]
) -> Metrics:
    """Cache hits, speculation, preemptions, times, queue and KV cache use; None where not counted.

    Args:
        scrapes: counters read during the repeat.
    """

    def grown(name: str) -> float | None:
        start = None if before is None else getattr(before, name)
        end = None if after is None else getattr(after, name)
        # A counter that shrank belongs to a server that was restarted.
        return None if start is None or end is None or end < start else end - start

    def mean(name: str) -> float | None:
        start: Histogram | None = None if before is None else getattr(before, name)
        end: Histogram | None = None if after is None else getattr(after, name)
        between = None if start is None or end is None else end.since(start)
        return None if between is None else between.mean

    accepted, per_draft = grown("accepted_draft_tokens"), None
    if (share := _share(accepted, grown("drafts"))) is not None:
        per_draft = 1.0 + share
    running, waiting, kv = (_levels(scrapes, name) for name in ("running", "waiting", "kv_usage"))
    return {
        "cached_prompt_share.server": _share(grown("cached_prompt_tokens"), grown("prompt_tokens")),
        "external_cached_prompt_share.server": _share(
            grown("external_cached_prompt_tokens"), grown("prompt_tokens")
        ),
        "preemptions.server": grown("preemptions"),
        "accepted_draft_share.server": _share(accepted, grown("draft_tokens")),
        "acceptance_length.server": per_draft,
        **{f"{name}.server": mean(name) for name in _TIMES},
        "running_requests.server": _mean(running),
        "waiting_requests.server": _mean(waiting),
        "kv_cache_use_mean.server": _mean(kv),
        "kv_cache_use_max.server": max(kv, default=None),
    }


def _levels(scrapes: Sequence[Counters], name: str) -> list[float]:
    return [value for scrape in scrapes if (value := getattr(scrape, name)) is not None]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _share(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole
