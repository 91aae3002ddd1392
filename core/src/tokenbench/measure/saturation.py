"""Whether the server was saturated: a finding about it, not a fault of the measurement."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tokenbench.api import Counters
from tokenbench.load.records import Status

from .evidence import Evidence
from .thresholds import CertificationThresholds
from .window import Window


def saturated(
    evidence: Evidence, limits: CertificationThresholds, *, scrapes: Sequence[Counters] = ()
) -> bool | None:
    """Whether requests queued in the server; None if unknown.

    They did if the server's gauge shows waiting requests in at least half of the scrapes. In an
    open loop, they also did if the server completed less than 95 % of the arrivals in the second
    half of the steady state, and the shortfall exceeds two standard deviations of Poisson arrivals.

    Args:
        scrapes: the engine's counters, scraped during the steady state.
    """
    waiting = [scrape.waiting for scrape in scrapes if scrape.waiting is not None]
    by_gauge = None
    if waiting:
        share = sum(value >= 1 for value in waiting) / len(waiting)
        by_gauge = share >= limits.saturated_waiting_share
    by_rate = _falls_behind(evidence, limits)
    if by_gauge is None and by_rate is None:
        return None
    return bool(by_gauge) or bool(by_rate)


def _falls_behind(evidence: Evidence, limits: CertificationThresholds) -> bool | None:
    """Open loop: completions against arrivals. A closed loop cannot fall behind.

    Only the second half is judged, and only if the first half is longer than a request: until then
    completions lag behind arrivals on any server.
    """
    if evidence.phase.concurrency is not None or evidence.steady.seconds is None:
        return None
    records = evidence.records
    start, end = evidence.steady.start_ns, evidence.steady.end_ns
    middle = (start + end) // 2
    half = Window(start_ns=middle, end_ns=end)
    early = records[(records["status"] == Status.OK) & (records["scheduled_ns"] < middle)]
    if not len(early) or np.median(early["last_ns"] - early["scheduled_ns"]) > middle - start:
        return None
    arrived = int(np.count_nonzero(half.holds(records["scheduled_ns"])))
    if arrived < limits.min_requests:
        return None
    behind = arrived - int(np.count_nonzero(half.holds(records["end_ns"])))
    return behind > max((1 - limits.saturated_served_share) * arrived, 2 * math.sqrt(arrived))
