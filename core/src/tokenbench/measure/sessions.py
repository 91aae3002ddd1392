"""Metrics of sessions, and of TTFT by groups of turns, as `session_definitions` defines them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tokenbench.load.records import ABSENT, SessionStatus, Status

from .arrays import NS_PER_S, SESSION_DTYPE, Bools, Floats, Ints, Rows
from .definitions import PERCENTILES
from .percentiles import Metrics, percentile
from .session_definitions import GROUP_STATISTICS, GROUPINGS, Grouping
from .window import Window


def all_sessions(records: Rows, sessions: Rows) -> Rows:
    """The records of all sessions: `sessions`, and one record for each single request."""
    single = records[~np.isin(records["session"], sessions["session"])]
    rows = np.zeros(len(single), SESSION_DTYPE)
    rows["session"], rows["worker"] = single["session"], single["worker"]
    status = single["status"]
    rows["status"] = np.select(
        [status == Status.OK, status == Status.OVERFLOW, status == Status.CANCELLED],
        [SessionStatus.COMPLETE, SessionStatus.OVERFLOW, SessionStatus.CUT],
        SessionStatus.FAILED,
    )
    rows["turns"] = 1
    rows["ok"], rows["failed"] = status == Status.OK, status != Status.OK
    rows["begun_ns"], rows["ended_ns"] = single["scheduled_ns"], single["end_ns"]
    return np.concatenate([sessions, rows])


def session_metrics(
    records: Rows, sessions: Rows, good: Bools | None, windows: Mapping[str, Window]
) -> Metrics:
    """Metrics of all sessions; none if every session was a single request.

    Args:
        sessions: their records, without those of single requests.
        good: mask of the records that meet all objectives; None without objectives.
    """
    if not len(sessions):
        return {}
    rows = all_sessions(records, sessions)
    counts = {status: int(np.count_nonzero(rows["status"] == status)) for status in SessionStatus}
    failed = counts[SessionStatus.FAILED] + counts[SessionStatus.OVERFLOW]
    ended = counts[SessionStatus.COMPLETE] + failed
    metrics: Metrics = {
        "sessions_complete": float(counts[SessionStatus.COMPLETE]),
        "sessions_failed": float(counts[SessionStatus.FAILED]),
        "sessions_overflow": float(counts[SessionStatus.OVERFLOW]),
        "sessions_cut": float(counts[SessionStatus.CUT]),
        "session_complete_share": counts[SessionStatus.COMPLETE] / ended if ended else None,
        "session_failed_share": failed / ended if ended else None,
        "session_cut_share": counts[SessionStatus.CUT] / len(rows),
    }
    complete = rows[rows["status"] == SessionStatus.COMPLETE]
    makespan = (complete["ended_ns"] - complete["begun_ns"]) / NS_PER_S
    waited = complete["waited_ns"] / NS_PER_S
    metrics |= _percentiles("makespan_s", makespan, failed)
    metrics |= _percentiles("makespan_without_tools_s", makespan - waited, failed)
    all_good = None if good is None else _good_sessions(complete, records, good)
    for name, window in windows.items():
        inside = window.holds(complete["ended_ns"])
        if name == "whole":
            inside = np.ones(len(complete), np.bool_)
        metrics[f"sessions_s.{name}"] = _rate(inside, window)
        held = None if all_good is None else _rate(inside & all_good, window)
        metrics[f"session_goodput_s.{name}"] = held
    return metrics


def _good_sessions(complete: Rows, records: Rows, good: Bools) -> Bools:
    """Mask of the complete sessions whose records all meet the objectives."""
    found: Bools = ~np.isin(complete["session"], records["session"][~good])
    return found


def _rate(counted: Bools, window: Window) -> float | None:
    seconds = window.seconds
    return None if seconds is None else int(np.count_nonzero(counted)) / seconds


def _percentiles(name: str, values: Floats, failed: int) -> Metrics:
    return {
        f"{name}.{statistic}": percentile(values, failed, PERCENTILES[statistic])
        for statistic in GROUP_STATISTICS
    }


def turn_positions(records: Rows) -> Ints:
    """The position of each turn among those of its agent in its session, from 0."""
    keys = ("sent_first_ns", "turn", "agent", "session")
    order = np.lexsort([records[key] for key in keys])
    session, agent = records["session"][order], records["agent"][order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (session[1:] != session[:-1]) | (agent[1:] != agent[:-1])
    index = np.arange(len(order))
    starts = np.maximum.accumulate(np.where(new, index, 0)) if len(order) else index
    positions = np.zeros(len(order), np.int64)
    positions[order] = index - starts
    return positions


def ttft_groups(records: Rows) -> Metrics:
    """TTFT by position in the session, by context and by uncached tokens."""
    judged = records[records["status"] != Status.CANCELLED]
    ok = judged["status"] == Status.OK
    n_in = np.where(ok & (judged["n_in"] != ABSENT), judged["n_in"], judged["asked_in"])
    cached = judged["n_cached"]
    uncached = np.where((cached != ABSENT) & (n_in != ABSENT), n_in - cached, ABSENT)
    ttft = (judged["first_ns"] - judged["sent_first_ns"]) / NS_PER_S
    values = {"turn": turn_positions(judged), "context": n_in, "uncached": uncached}
    metrics: Metrics = {}
    for grouping in GROUPINGS:
        metrics |= _grouped(grouping, values[grouping.prefix], ok, ttft)
    return metrics


def _grouped(grouping: Grouping, values: Ints, ok: Bools, ttft: Floats) -> Metrics:
    inside = [
        (values >= group.low)
        & (values <= (np.iinfo(np.int64).max if group.high is None else group.high))
        for group in grouping.groups
    ]
    if sum(bool((mask & ok).any()) for mask in inside) < 2:
        return {}
    unknown = int(np.count_nonzero(~ok & (values == ABSENT)))
    metrics: Metrics = {}
    for group, mask in zip(grouping.groups, inside, strict=True):
        failed = int(np.count_nonzero(mask & ~ok)) + unknown
        if (mask & ok).any():
            metrics |= _percentiles(group.metric(grouping.prefix), ttft[mask & ok], failed)
    return metrics
