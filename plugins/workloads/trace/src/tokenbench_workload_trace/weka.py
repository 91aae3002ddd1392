"""Weka's traces of coding agents: a session with sub-agents, in blocks of 64 tokens.

``requests`` is the timeline of the main agent: requests with ``t`` (s), ``in``, ``out``,
``hash_ids`` (of whole blocks) and ``api_time`` (s), and sub-agents (``type`` is ``subagent``) with
``requests`` of their own, whose ``t`` counts from the sub-agent's in kv-cache-tester's traces and
from the session's beginning in those that SemiAnalysis publishes. The trace has no edges: a
sub-agent begins after the main request before it, and a main request waits for it: the first one
after its end, or the next one. One that outlives the main timeline is a background task. Block ids
mean something within one session only (``hash_id_scope`` is ``local``). Compaction is a request
whose blocks no longer begin with those of the one before.

Read: callanjfox/kv-cache-tester at 94f6046 (2026-07-12), docs/trace_replay_tester.md and its
traces; ai-dynamo/aiperf at 01def00, docs/tutorials/weka-trace.md.
"""

from __future__ import annotations

from typing import Any

from .requests import TraceRequest, TraceSession


def weka_sessions(row: dict[str, Any], join: str = "recorded") -> TraceSession:
    """The session of a trace.

    Args:
        join: which main request waits for a sub-agent: the first after its end (``recorded``), or
            the one after its beginning (``next``).

    Raises:
        KeyError, TypeError, ValueError: it is not of this format.
    """
    if row.get("hash_id_scope", "local") != "local":
        raise ValueError(f"block ids of the scope {row['hash_id_scope']}")
    items = row["requests"]
    found: list[TraceRequest] = []
    last: int | None = None
    last_end_s = 0.0
    # Sub-agents that the main agent still waits for: the end of each, and its last request.
    running: list[tuple[float, int]] = []
    agents = 0
    for item in items:
        if item.get("type") == "subagent":
            agents += 1
            running.append(_subagent(item, found, last, last_end_s, agents))
            continue
        at_s = float(item["t"])
        joined = [index for end_s, index in running if join == "next" or end_s <= at_s]
        running = [one for one in running if one[1] not in joined]
        parents = (*(() if last is None else (last,)), *joined)
        delay_s = 0.0 if last is None else max(0.0, at_s - last_end_s)
        if joined:
            delay_s = 0.0  # It waits for the sub-agents, not for the clock.
        found.append(_request(item, parents, delay_s, "agent", 0))
        last, last_end_s = len(found) - 1, at_s + float(item.get("api_time") or 0.0)
    if not found:
        raise ValueError("a session without requests")
    return TraceSession(
        at_s=float(items[0].get("t") or 0.0),
        requests=tuple(found),
        own_blocks=True,
    )


def _subagent(
    item: dict[str, Any],
    found: list[TraceRequest],
    parent: int | None,
    parent_end_s: float,
    agent: int,
) -> tuple[float, int]:
    """Append the requests of a sub-agent; returns when it ends, and its last request."""
    end_s = parent_end_s
    began_s = float(item.get("t") or 0.0)
    inside = item["requests"]
    shift_s = began_s if inside and float(inside[0]["t"]) < began_s else 0.0
    for inner in inside:
        at_s = float(inner["t"]) + shift_s
        parents = () if parent is None else (parent,)
        found.append(_request(inner, parents, max(0.0, at_s - end_s), "subagent", agent))
        parent, end_s = len(found) - 1, at_s + float(inner.get("api_time") or 0.0)
    if parent is None:
        raise ValueError("a sub-agent without requests")
    return end_s, parent


def _request(
    item: dict[str, Any], parents: tuple[int, ...], delay_s: float, label: str, agent: int
) -> TraceRequest:
    return TraceRequest(
        n_in=int(item["in"]),
        n_out=int(item["out"]),
        blocks=tuple(item.get("hash_ids") or ()),
        parents=parents,
        delay_s=delay_s,
        label=label,
        agent=agent,
    )
