"""Metrics from the engine's own counters, between the scrapes before and after a repeat."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Counters

from .metrics import Metrics


def server_metrics(
    before: Counters | None, after: Counters | None, scrapes: Sequence[Counters]
) -> Metrics:
    """Cache hits, preemptions, accepted drafts, queue and KV cache use; None where not counted.

    Args:
        scrapes: counters read during the repeat.
    """

    def grown(name: str) -> float | None:
        start = None if before is None else getattr(before, name)
        end = None if after is None else getattr(after, name)
        # A counter that shrank belongs to a server that was restarted.
        return None if start is None or end is None or end < start else end - start

    waiting = [scrape.waiting for scrape in scrapes if scrape.waiting is not None]
    kv = [scrape.kv_usage for scrape in scrapes if scrape.kv_usage is not None]
    return {
        "cached_prompt_share.server": _share(grown("cached_prompt_tokens"), grown("prompt_tokens")),
        "preemptions.server": grown("preemptions"),
        "accepted_draft_share.server": _share(
            grown("accepted_draft_tokens"), grown("draft_tokens")
        ),
        "waiting_requests.server": sum(waiting) / len(waiting) if waiting else None,
        "kv_cache_use_max.server": max(kv, default=None),
    }


def _share(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole
