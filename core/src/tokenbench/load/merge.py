"""Merges the summaries of several workers into the summary of their phase."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from .records import PhaseSummary

# In order of precedence: a phase is stalled if one worker's share is.
_WORST = ("fatal", "stalled", "failing", "cancelled", "drain")


def merge_summaries(parts: Sequence[PhaseSummary]) -> PhaseSummary:
    """The summary of a phase from those of its workers.

    Counts are added; the phase lasts from the first start to the last end. Delays, CPU share and
    clock steps are the worst worker's, so a check of the phase is a check of each worker.
    """
    if len(parts) == 1:
        return parts[0]
    reasons = [part.stopped_by for part in parts]
    started = min(part.started_ns for part in parts)
    ended = max(part.ended_ns for part in parts)
    return attrs.evolve(
        parts[0],
        started_ns=started,
        dispatch_ended_ns=max(part.dispatch_ended_ns for part in parts),
        ended_ns=ended,
        stopped_by=next((r for r in _WORST if r in reasons), reasons[0]),
        turns=sum(part.turns for part in parts),
        failed=sum(part.failed for part in parts),
        scheduled_turns=sum(part.scheduled_turns for part in parts),
        concurrency=_sum([part.concurrency for part in parts]),
        cpu_share=max((p.cpu_share for p in parts if p.cpu_share is not None), default=None),
        in_flight_ns=sum(part.in_flight_ns for part in parts),
        target_in_flight_ns=sum(part.target_in_flight_ns for part in parts),
        loop_delay_ns=_worst([part.loop_delay_ns for part in parts]),
        merged_delay_ns=_worst([part.merged_delay_ns for part in parts]),
        longest_pause_ns=max(part.longest_pause_ns for part in parts),
        paused_ns=max(part.paused_ns for part in parts),
        retries=sum(part.retries for part in parts),
        starved_ns=max(part.starved_ns for part in parts),
        clock_set_ns=max((part.clock_set_ns for part in parts), key=abs),
        kernel_timestamps=all(part.kernel_timestamps for part in parts),
        compiled=all(part.compiled for part in parts),
        max_rss_bytes=max(part.max_rss_bytes for part in parts),
        errors=tuple(error for part in parts for error in part.errors),
        workers=len(parts),
        labels=tuple(sorted({label for part in parts for label in part.labels})),
    )


def _worst(delays: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The maximum of each percentile; workers without values are ignored."""
    return tuple(max(values) for values in zip(*filter(None, delays), strict=True))


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
