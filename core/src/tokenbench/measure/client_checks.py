"""Checks of the client: was it the ruler, or part of what it measured?"""

from __future__ import annotations

import numpy as np

from tokenbench.api import Check
from tokenbench.load.records import ABSENT, Status

from .arrays import NS_PER_S, Rows
from .checks import above, below, not_assessed
from .evidence import Evidence
from .thresholds import CertificationThresholds, Limits


def _larger(share: Limits, floor: Limits, of: float) -> Limits:
    invalid = None
    if share.invalid is not None and floor.invalid is not None:
        invalid = max(share.invalid * of, floor.invalid)
    return Limits(flag=max(share.flag * of, floor.flag), invalid=invalid)


def loop_delay(seen: Evidence, limits: CertificationThresholds) -> Check:
    """By how much stamps are late: the time for which a socket may have waited to be read.

    The kernel's stamps do not wait. They are off by as much as somebody set the clock meanwhile,
    and where a read held several tokens, which is for :func:`coalesced` to judge.
    """
    name, phase = "client loop delay", seen.phase
    tpot = seen.metrics.get("tpot_s.p50") or 0.0
    allowed = _larger(limits.loop_delay_share, limits.loop_delay_floor_s, tpot)
    known = len(phase.loop_delay_ns) > 2
    p99 = phase.loop_delay_ns[2] / NS_PER_S if known else 0.0
    late = f"p99 {p99 * 1e3:.3f} ms late" if known else "no read was timed"
    if phase.kernel_timestamps:
        set_s = abs(phase.clock_set_ns) / NS_PER_S
        text = f"stamps are the kernel's, reads {late}; clock set by {set_s * 1e3:.3f} ms"
        return above(name, set_s, allowed, text, "s")
    if not known:
        return not_assessed(name, "nothing was read")
    return above(name, p99, allowed, f"{late}, median TPOT {tpot * 1e3:.2f} ms", "s")


def dispatch_delay(seen: Evidence, limits: CertificationThresholds) -> Check:
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


def cpu(seen: Evidence, limits: CertificationThresholds) -> Check:
    """A load worker's share of its core."""
    name = "client CPU"
    if not seen.phase.wall_s:
        return not_assessed(name, "no time passed")
    share = seen.phase.cpu_s / seen.phase.wall_s
    return above(name, share, limits.client_cpu_share, f"{share:.1%} of a core", "1")


def client_coalesced_share(seen: Evidence) -> float:
    """Share of token events that the client itself merged: it was later than their gap. Of first
    tokens, if that is more: in long answers a merged first token would be lost among the others.

    Several events of one read while the loop was on time came merged from upstream. Where nobody
    noted how late the reads were, they are the client's.
    """
    ok = seen.records[seen.records["status"] == Status.OK]
    streamed = ok[(ok["chunks"] > 1) & (ok["last_ns"] > ok["first_ns"])]
    share = max(_merged_share(ok), _merged_firsts(seen, ok))
    if not share or not len(streamed):
        return 0.0
    gaps_ns = (streamed["last_ns"] - streamed["first_ns"]) / (streamed["chunks"] - 1)
    # Of what a read merged only the wait of the last is known for sure. A loop that was late at
    # random waited for that one, too, half a gap in every other case.
    limit_ns = np.median(gaps_ns) / 2
    return share * float(np.mean(np.array(seen.phase.merged_delay_ns or [np.inf]) > limit_ns))


def _merged_share(ok: Rows) -> float:
    """Share of token events that shared a read with an earlier one."""
    events = int(ok["chunks"].sum())
    return float(ok["coalesced"].sum()) / events if events else 0.0


def _merged_firsts(seen: Evidence, ok: Rows) -> float:
    """Share of first tokens that were read together with the second; one alone says nothing."""
    streamed = ok[ok["chunks"] > 1]
    if not len(streamed):
        return 0.0
    at, first = seen.chunks["ns"], streamed["chunk_offset"]
    merged = int(np.count_nonzero(at[first] == at[first + 1]))
    return merged / len(streamed) if merged > 1 else 0.0


def coalesced(seen: Evidence, limits: CertificationThresholds) -> Check:
    """Token events merged by the client; what upstream merged is told, not flagged."""
    name = "coalesced reads"
    ok = seen.records[seen.records["status"] == Status.OK]
    chunks = int(ok["chunks"].sum())
    if not chunks:
        return not_assessed(name, "no token event")
    share = client_coalesced_share(seen)
    upstream = max(0.0, _merged_share(ok) - share)
    text = f"{share:.2%} by the client, {upstream:.2%} upstream"
    if bool((ok["n_out"] != ABSENT).all()) and int(ok["n_out"].sum()) > chunks:
        text += f", {int(ok['n_out'].sum()) / chunks:.2f} tokens an event"
    if share > limits.coalesced_withhold_itl:
        text += "; ITL is withheld"
    return above(name, share, limits.coalesced_share, text, "1")


def offered_load(seen: Evidence, limits: CertificationThresholds) -> Check:
    """Closed loop: mean requests in flight over the target. Open: dispatched over scheduled.

    A request that could not connect was offered; `failures` tells of it. A slot whose session is
    thinking is not short of a request: where there was think time, what is missing from the target
    is the time by which requests were later than their schedule.
    """
    name = "offered load"
    phase = seen.phase
    if phase.concurrency is None:
        if not phase.scheduled_turns:
            return not_assessed(name, "nothing was scheduled")
        offered = (seen.records["sent_first_ns"] != ABSENT) | (
            seen.records["status"] == Status.CONNECT
        )
        sent = int(np.count_nonzero(offered))
        share = sent / phase.scheduled_turns
        text = f"{sent} of {phase.scheduled_turns} scheduled requests were sent"
        return below(name, share, limits.offered_load, text, "1")
    if not phase.target_in_flight_ns or seen.steady.seconds is None:
        # With no more requests than slots, all that is seen is the slots being filled.
        return not_assessed(name, "there is no steady state")
    if seen.thinks:
        share = 1.0 - _late_ns(seen) / phase.target_in_flight_ns
        text = f"{share * phase.concurrency:.2f} in flight or thinking on average"
    else:
        share = phase.in_flight_ns / phase.target_in_flight_ns
        text = f"{share * phase.concurrency:.2f} in flight on average"
    return below(name, share, limits.offered_load, f"{text}, target {phase.concurrency}", "1")


def _late_ns(seen: Evidence) -> int:
    """Time by which requests were later than their schedule, all together, while dispatching."""
    records, end_ns = seen.records, seen.phase.dispatch_ended_ns
    sent = np.where(records["sent_first_ns"] == ABSENT, end_ns, records["sent_first_ns"])
    late = np.minimum(sent, end_ns) - np.minimum(records["scheduled_ns"], end_ns)
    return int(np.maximum(late, 0).sum())
