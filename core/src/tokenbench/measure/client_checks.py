"""Checks of the client: it must measure the server without adding delays of its own."""

from __future__ import annotations

import attrs
import numpy as np

from tokenbench.api import Check, CheckOutcome
from tokenbench.load.records import ABSENT, Status

from . import remedy
from .arrays import NS_PER_S, Rows
from .checks import above, below, not_assessed, percent, too_short, worst
from .evidence import Evidence
from .thresholds import CertificationThresholds, Limits
from .window import whole_window

_HINT = "lower the load, or free CPU cores for the client"


def _longer(evidence: Evidence) -> str:
    """The command-line option for a repeat long enough for a steady state."""
    return remedy.longer([evidence], 3.0, at_least_s=3 * (evidence.metrics.get("e2e_s.p90") or 0.0))


def _larger(share: Limits, floor: Limits, of: float) -> Limits:
    """The larger of two pairs of limits: shares of a median, and a floor."""
    invalid = None
    if share.invalid is not None and floor.invalid is not None:
        invalid = max(share.invalid * of, floor.invalid)
    return Limits(flag=max(share.flag * of, floor.flag), invalid=invalid)


def loop_delay(evidence: Evidence, limits: CertificationThresholds) -> Check:
    """How late timestamps may be: the time a readable socket waits to be read.

    Kernel timestamps do not depend on it. Their error is the step by which the wall clock was set
    during the phase. Reads of several tokens are judged by :func:`coalesced`.
    """
    name, phase = "client loop delay", evidence.phase
    tpot = evidence.metrics.get("tpot_s.p50") or 0.0
    allowed = _larger(limits.loop_delay_share, limits.loop_delay_floor_s, tpot)
    known = len(phase.loop_delay_ns) > 2
    p99 = phase.loop_delay_ns[2] / NS_PER_S if known else 0.0
    delay = f"p99 read delay {p99 * 1e3:.3f} ms" if known else "no read was timed"
    if phase.kernel_timestamps:
        step_s = abs(phase.clock_set_ns) / NS_PER_S
        text = f"kernel timestamps, {delay}; wall clock set by {step_s * 1e3:.3f} ms"
        hint = "do not set the system clock during a run"
        return above(name, step_s, allowed, text, "s", hint=hint)
    if not known:
        if bool((evidence.records["status"] == Status.OK).any()):
            return too_short(name, "no read was timed", _longer(evidence))
        return not_assessed(name, "no response was read")
    return above(name, p99, allowed, f"{delay}, median TPOT {tpot * 1e3:.2f} ms", "s", hint=_HINT)


def dispatch_delay(evidence: Evidence, limits: CertificationThresholds) -> Check:
    """Time from the scheduled send to the first byte written, in the steady state."""
    name = "client dispatch delay"
    records = evidence.records
    sent = records[records["sent_first_ns"] != ABSENT]
    sent = sent[evidence.steady.holds(sent["sent_first_ns"])]
    if not len(sent):
        return too_short(name, "no request in the steady state", _longer(evidence))
    delays = (sent["sent_first_ns"] - sent["scheduled_ns"]) / NS_PER_S
    # Few requests have no p99: the maximum is used.
    few = len(sent) < limits.min_requests
    p99 = float(delays.max() if few else np.percentile(delays, 99))
    ttft = evidence.metrics.get("ttft_s.p50") or 0.0
    allowed = _larger(limits.dispatch_delay_share, limits.dispatch_delay_floor_s, ttft)
    text = f"{'largest' if few else 'p99'} dispatch delay {p99 * 1e3:.3f} ms"
    text += f", median TTFT {ttft * 1e3:.1f} ms"
    return above(name, p99, allowed, text, "s", hint=_HINT)


def cpu(evidence: Evidence, limits: CertificationThresholds) -> Check:
    """CPU time of the busiest load worker over wall time, while it sent requests."""
    name = "client CPU"
    share = evidence.phase.cpu_share
    if share is None:
        return too_short(name, "the phase has no length", _longer(evidence))
    text = f"a load worker used {percent(share)} of a CPU core"
    return above(name, share, limits.client_cpu_share, text, "1", hint=_HINT)


def client_coalesced_share(evidence: Evidence) -> float:
    """Share of token events that the client merged, because it read them too late.

    If the share among first tokens is larger, that one counts: long responses would hide it. Events
    that a timely read found together were merged upstream. Without recorded delays all merged
    events count as merged by the client.
    """
    ok = evidence.records[evidence.records["status"] == Status.OK]
    streamed = ok[(ok["chunks"] > 1) & (ok["last_ns"] > ok["first_ns"])]
    share = max(_merged_share(ok), _merged_first_share(evidence, ok))
    if not share or not len(streamed):
        return 0.0
    gaps_ns = (streamed["last_ns"] - streamed["first_ns"]) / (streamed["chunks"] - 1)
    # Only the delay of a read's last event is known. In half of the reads that a randomly late loop
    # merges, it is more than half a gap.
    limit_ns = np.median(gaps_ns) / 2
    return share * float(np.mean(np.array(evidence.phase.merged_delay_ns or [np.inf]) > limit_ns))


def withhold_itl(evidence: Evidence, limits: CertificationThresholds) -> Evidence:
    """Remove the ITL metrics if the client merged too many token events; TPOT is not affected."""
    if client_coalesced_share(evidence) <= limits.coalesced_withhold_itl:
        return evidence
    withheld = {name: None for name in evidence.metrics if name.startswith("itl_")}
    return attrs.evolve(evidence, metrics={**evidence.metrics, **withheld})


def _merged_share(ok: Rows) -> float:
    """Share of token events that shared a read with an earlier one."""
    events = int(ok["chunks"].sum())
    return float(ok["coalesced"].sum()) / events if events else 0.0


def _merged_first_share(evidence: Evidence, ok: Rows) -> float:
    """Share of first tokens that were read together with the second; 0 if only one was."""
    streamed = ok[ok["chunks"] > 1]
    if not len(streamed):
        return 0.0
    at, first = evidence.chunks["ns"], streamed["chunk_offset"]
    merged = int(np.count_nonzero(at[first] == at[first + 1]))
    return merged / len(streamed) if merged > 1 else 0.0


def coalesced(evidence: Evidence, limits: CertificationThresholds) -> Check:
    """Token events merged by the client. Those merged upstream are reported but not judged."""
    name = "coalesced reads"
    ok = evidence.records[evidence.records["status"] == Status.OK]
    chunks = int(ok["chunks"].sum())
    if not chunks:
        return not_assessed(name, "no token event")
    share = client_coalesced_share(evidence)
    upstream = max(0.0, _merged_share(ok) - share)
    text = (
        f"token events merged: {percent(share, 2)} by the client, {percent(upstream, 2)} upstream"
    )
    if bool((ok["n_out"] != ABSENT).all()) and int(ok["n_out"].sum()) > chunks:
        text += f", {int(ok['n_out'].sum()) / chunks:.2f} tokens per event"
    if share > limits.coalesced_withhold_itl:
        text += ", ITL withheld"
    return above(name, share, limits.coalesced_share, text, "1", hint=_HINT)


def offered_load(evidence: Evidence, limits: CertificationThresholds) -> Check:
    """Closed loop: mean requests in flight over the concurrency. Open: sent over scheduled.

    A request that could not connect counts as sent, because the check `failures` reports it. In a
    closed loop with think time, a thinking session counts as in flight, and the shortfall is the
    time by which requests were late.
    """
    name = "offered load"
    phase = evidence.phase
    if phase.concurrency is None:
        if not phase.scheduled_turns:
            return too_short(name, "no request was scheduled", _longer(evidence))
        sent = (evidence.records["sent_first_ns"] != ABSENT) | (
            evidence.records["status"] == Status.CONNECT
        )
        count = int(np.count_nonzero(sent))
        share = count / phase.scheduled_turns
        text = f"{count} of {phase.scheduled_turns} scheduled requests sent ({percent(share)})"
        return below(name, share, limits.offered_load, text, "1", hint=_HINT)
    if not phase.target_in_flight_ns or evidence.steady.seconds is None:
        # With no more requests than the concurrency, the records show only the ramp.
        return too_short(name, "no steady state", _longer(evidence))
    if evidence.has_think_time:
        share = 1.0 - _late_ns(evidence) / phase.target_in_flight_ns
        what = "sessions in flight or thinking"
    else:
        share = phase.in_flight_ns / phase.target_in_flight_ns
        what = "requests in flight"
    mean = share * phase.concurrency
    text = f"mean {mean:.2f} {what}, target {phase.concurrency} ({percent(share)})"
    return below(name, share, limits.offered_load, text, "1", hint=_HINT)


def _late_ns(evidence: Evidence) -> int:
    """Sum of the times by which requests were later than scheduled, until dispatching ended."""
    # A turn that was not sent, because a turn before it failed, is not late.
    records = evidence.records[evidence.records["status"] != Status.PARENT_FAILED]
    end_ns = evidence.phase.dispatch_ended_ns
    # One that could not connect went on at once: the check `failures` reports it.
    refused = records["status"] == Status.CONNECT
    unsent_ns = np.where(refused, records["end_ns"], end_ns)
    sent = np.where(records["sent_first_ns"] == ABSENT, unsent_ns, records["sent_first_ns"])
    late = np.minimum(sent, end_ns) - np.minimum(records["scheduled_ns"], end_ns)
    return int(np.maximum(late, 0).sum())


def paused(evidence: Evidence, limits: CertificationThresholds) -> Check:
    """Gaps in which the load worker did not run: it was halted, or the machine was suspended.

    With kernel timestamps, also steps of the wall clock, which shift the timestamps.
    """
    name, phase = "client paused", evidence.phase
    seconds = evidence.steady.seconds or whole_window(phase).seconds or 0.0
    longest, total = phase.longest_pause_ns / NS_PER_S, phase.paused_ns / NS_PER_S
    floor = limits.pause_floor_s
    flag = max(limits.pause_share.flag * seconds, floor)
    share = limits.pause_share.invalid
    invalid = None if share is None else max(share * seconds, floor)
    text = f"longest gap {longest * 1e3:.0f} ms, {total:.2f} s in all"
    hint = "keep the machine awake, and run nothing else on the client's cores"
    # Many gaps, each below the limit, can exceed it together.
    value = total if invalid is not None and total > invalid else longest
    check = above(name, value, Limits(flag=flag, invalid=invalid), text, "s", hint=hint)
    step_s = abs(phase.clock_set_ns) / NS_PER_S
    if not phase.kernel_timestamps or step_s <= limits.clock_step_s:
        return check
    text = f"wall clock set by {step_s * 1e3:.1f} ms; do not set the system clock during a run"
    return worst([check, Check(name=name, outcome=CheckOutcome.FLAGGED, evidence=text)])


def foreign_load(evidence: Evidence, limits: CertificationThresholds) -> Check:
    """CPU that other programs, or the hypervisor, took on the cores of client and local engine."""
    name, share = "foreign load", evidence.foreign_share
    if share is None:
        return not_assessed(name, evidence.foreign_unknown or "not measured")
    text = f"other programs used {percent(share)} of the cores of client and engine"
    if evidence.foreign_busiest is not None and share > limits.foreign_load.flag:
        text += f", most of it {evidence.foreign_busiest}"
    return above(
        name, share, limits.foreign_load, text, "1", hint="stop other programs on this machine"
    )
