"""Is the server saturated? A finding about the server, never a fault of the measurement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tokenbench.api import Counters
from tokenbench.load.records import Status

from .evidence import Evidence
from .thresholds import Thresholds


def saturated(
    seen: Evidence, limits: Thresholds, *, scrapes: Sequence[Counters] = ()
) -> bool | None:
    """Whether requests queued in the server; None where nothing tells.

    By the server's own gauge: requests waited in at least half of the scrapes taken in the steady
    state. In an open loop also: it completed less than 95 % of what arrived in the steady state.

    Args:
        scrapes: the engine's counters as read during the steady state.
    """
    waiting = [scrape.waiting for scrape in scrapes if scrape.waiting is not None]
    by_gauge = None
    if waiting:
        share = sum(value >= 1 for value in waiting) / len(waiting)
        by_gauge = share >= limits.saturated_waiting_share
    by_rate = _falls_behind(seen, limits)
    if by_gauge is None and by_rate is None:
        return None
    return bool(by_gauge) or bool(by_rate)


def _falls_behind(seen: Evidence, limits: Thresholds) -> bool | None:
    """Open loop: completions over arrivals. A closed loop cannot fall behind."""
    if seen.phase.concurrency is not None or seen.steady.seconds is None:
        return None
    records = seen.records
    ok = records[records["status"] == Status.OK]
    arrived = np.count_nonzero(seen.steady.holds(records["scheduled_ns"]))
    served = np.count_nonzero(seen.steady.holds(ok["last_ns"]))
    if arrived < limits.min_requests:
        return None
    return bool(served < limits.saturated_served_share * arrived)
