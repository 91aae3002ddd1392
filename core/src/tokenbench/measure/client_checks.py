"""Checks of the client: was it the ruler, or part of what it measured?"""

from __future__ import annotations

import numpy as np

from tokenbench.api import Check
from tokenbench.load.records import ABSENT, Status

from .arrays import NS_PER_S
from .evidence import Evidence
from .outcome import above, below, not_assessed
from .thresholds import Limits, Thresholds


def _larger(share: Limits, floor: Limits, of: float) -> Limits:
    invalid = None
    if share.invalid is not None and floor.invalid is not None:
        invalid = max(share.invalid * of, floor.invalid)
    return Limits(flag=max(share.flag * of, floor.flag), invalid=invalid)


def loop_delay(seen: Evidence, limits: Thresholds) -> Check:
    """Time from the poll that reported a socket ready to its stamp."""
    name = "client loop delay"
    if len(seen.phase.loop_delay_ns) < 3:
        return not_assessed(name, "nothing was read")
    p99 = seen.phase.loop_delay_ns[2] / NS_PER_S
    tpot = seen.metrics.get("tpot_s.p50") or 0.0
    allowed = _larger(limits.loop_delay_share, limits.loop_delay_floor_s, tpot)
    text = f"p99 {p99 * 1e3:.3f} ms, median TPOT {tpot * 1e3:.2f} ms"
    return above(name, p99, allowed, text, "s")


def dispatch_delay(seen: Evidence, limits: Thresholds) -> Check:
    """Time from schedule to the first byte written, in the steady state."""
    name = "client dispatch delay"
    records = seen.records
    sent = records[records["sent_first_ns"] != ABSENT]
    sent = sent[seen.steady.holds(sent["sent_first_ns"])]
    if len(sent) < limits.min_requests:
        return not_assessed(name, f"{len(sent)} requests in the steady state are too few")
    delays = (sent["sent_first_ns"] - sent["scheduled_ns"]) / NS_PER_S
    p99 = float(np.percentile(delays, 99))
    ttft = seen.metrics.get("ttft_s.p50") or 0.0
    allowed = _larger(limits.dispatch_delay_share, limits.dispatch_delay_floor_s, ttft)
    text = f"p99 {p99 * 1e3:.3f} ms, median TTFT {ttft * 1e3:.1f} ms"
    return above(name, p99, allowed, text, "s")


def cpu(seen: Evidence, limits: Thresholds) -> Check:
    """A load worker's share of its core."""
    name = "client CPU"
    if not seen.phase.wall_s:
        return not_assessed(name, "no time passed")
    share = seen.phase.cpu_s / seen.phase.wall_s
    return above(name, share, limits.client_cpu_share, f"{share:.1%} of a core", "1")


def client_coalesced_share(seen: Evidence) -> float:
    """Share of token events that the client itself merged: it was later than their gap.

    Several events of one read while the loop was on time came merged from upstream.
    """
    ok = seen.records[seen.records["status"] == Status.OK]
    chunks = int(ok["chunks"].sum())
    gap = seen.metrics.get("tpot_s.p50")
    if not chunks or gap is None or len(seen.phase.loop_delay_ns) < 3:
        return 0.0
    late = seen.phase.loop_delay_ns[2] / NS_PER_S > gap
    return float(ok["coalesced"].sum()) / chunks if late else 0.0


def coalesced(seen: Evidence, limits: Thresholds) -> Check:
    """Token events merged by the client; what upstream merged is told, not flagged."""
    ok = seen.records[seen.records["status"] == Status.OK]
    chunks = int(ok["chunks"].sum())
    if not chunks:
        return not_assessed("coalesced reads", "no token event")
    share = client_coalesced_share(seen)
    upstream = float(ok["coalesced"].sum()) / chunks - share
    text = f"{share:.2%} by the client, {upstream:.2%} upstream"
    return above("coalesced reads", share, limits.coalesced_share, text, "1")


def offered_load(seen: Evidence, limits: Thresholds) -> Check:
    """Closed loop: mean requests in flight over the target."""
    name = "offered load"
    phase = seen.phase
    if phase.concurrency is None:
        if not phase.scheduled_turns:
            return not_assessed(name, "nothing was scheduled")
        share = phase.turns / phase.scheduled_turns
        text = f"{phase.turns} of {phase.scheduled_turns} scheduled requests were sent"
        return below(name, share, limits.offered_load, text, "1")
    if not phase.target_ns_in_flight:
        return not_assessed(name, "no time passed")
    share = phase.in_flight_ns / phase.target_ns_in_flight
    text = f"{share * phase.concurrency:.2f} in flight on average, target {phase.concurrency}"
    return below(name, share, limits.offered_load, text, "1")
