"""The definitions of the metrics of sessions, of groups of turns, and of classes of traffic."""

from __future__ import annotations

import attrs

_FAILED = (
    "Failures count as longer than all other values, so the value is None if the percentile is one "
    "of them"
)
_CUT = "sessions that the stop rule cut are left out"
GROUP_STATISTICS = ("p50", "p90", "p99")


@attrs.frozen(kw_only=True)
class Group:
    """Turns from `low` to `high` (included; None: no limit) of what a :class:`Grouping` counts."""

    name: str
    title: str
    low: int
    high: int | None

    def metric(self, prefix: str) -> str:
        """The name of TTFT in this group, without statistic."""
        return f"ttft_{prefix}_{self.name}_s"


@attrs.frozen(kw_only=True)
class Grouping:
    """Groups of turns by one property: `prefix` in metric names, `text` in definitions."""

    prefix: str
    text: str
    groups: tuple[Group, ...]


def _ranges(*edges: int) -> tuple[Group, ...]:
    """``0_1k`` for 0 to 1,023 tokens, and so on; the last has no limit."""
    found = []
    for low, high in zip(edges, (*edges[1:], None), strict=True):
        begin, end = f"{low // 1024}k" if low else "0", "up" if high is None else f"{high // 1024}k"
        found.append(
            Group(
                name=f"{begin}_{end}",
                title=f"{low:,} tokens and more"
                if high is None
                else f"{low:,} to {high - 1:,} tokens",
                low=low,
                high=None if high is None else high - 1,
            )
        )
    return tuple(found)


_TOKENS = (0, 1024, 4096, 16384, 65536)
GROUPINGS = (
    Grouping(
        prefix="turn",
        text="turn of its session, or of its sub-agent's turns",
        groups=tuple(
            Group(name=name, title=f"turn {name.replace('_', ' to ')}", low=low - 1, high=high)
            for name, low, high in (
                ("1", 1, 0),
                ("2", 2, 1),
                ("3_5", 3, 4),
                ("6_10", 6, 9),
                ("11_20", 11, 19),
                ("21_up", 21, None),
            )
        ),
    ),
    Grouping(prefix="context", text="prompt length (n_in)", groups=_ranges(*_TOKENS)),
    Grouping(
        prefix="uncached",
        text="number of prompt tokens that were in no cache (n_in - n_cached)",
        groups=_ranges(*_TOKENS),
    ),
)


def _group_rows() -> list[tuple[str, str, str, str, bool | None]]:
    rows: list[tuple[str, str, str, str, bool | None]] = []
    for grouping in GROUPINGS:
        for group in grouping.groups:
            rows += [
                (
                    f"{group.metric(grouping.prefix)}.{statistic}",
                    f"TTFT, {group.title}, {statistic}",
                    "s",
                    (
                        f"{statistic.capitalize()} of TTFT over the turns grouped by "
                        f"{grouping.text}: {group.title}. {_FAILED}; if its group is unknown, it "
                        "counts in each. Only where there are turns of several groups."
                    ),
                    False,
                )
                for statistic in GROUP_STATISTICS
            ]
    return rows


def _spans() -> list[tuple[str, str, str, str, bool | None]]:
    texts = (
        (
            "makespan_s",
            "makespan",
            "the time from when a session should have begun to the end of its last turn",
        ),
        (
            "makespan_without_tools_s",
            "makespan without tool time",
            (
                "the makespan less the time in which no turn was in flight because the next had "
                "think or tool time; a late client's delay is not subtracted"
            ),
        ),
    )
    return [
        (
            f"{name}.{statistic}",
            f"{title}, {statistic}",
            "s",
            f"{statistic.capitalize()} of {text}. {_FAILED}; {_CUT}.",
            False,
        )
        for name, title, text in texts
        for statistic in GROUP_STATISTICS
    ]


_OVER = (("whole", "Over the whole phase."), ("steady", "Over the steady state."))
_COMPLETE = "A complete session ended by itself with every turn successful."
SESSION_METRICS: tuple[tuple[str, str, str, str, bool | None], ...] = (
    ("sessions_complete", "complete sessions", "sessions", _COMPLETE, True),
    (
        "sessions_failed",
        "failed sessions",
        "sessions",
        "Sessions of which a turn failed, or was not sent because one that it waited for failed.",
        False,
    ),
    (
        "sessions_overflow",
        "sessions that overflowed",
        "sessions",
        "Sessions of which a prompt did not fit into the server's context; not among the failed.",
        False,
    ),
    (
        "sessions_cut",
        "sessions cut",
        "sessions",
        "Sessions that the stop rule ended before they did, and of which no turn had failed.",
        None,
    ),
    (
        "session_complete_share",
        "share of sessions complete",
        "1",
        f"Complete sessions / all sessions that were not cut. {_COMPLETE}",
        True,
    ),
    (
        "session_failed_share",
        "share of sessions failed",
        "1",
        "Failed sessions and those that overflowed / all sessions that were not cut.",
        False,
    ),
    (
        "session_cut_share",
        "share of sessions cut",
        "1",
        "Sessions cut / all sessions that began.",
        None,
    ),
    *_spans(),
    *(
        (
            f"{name}.{window}",
            f"{title}, {window}",
            "sessions/s",
            f"{text} / seconds, by the end of their last turn. {over}",
            True,
        )
        for name, title, text in (
            ("sessions_s", "session throughput", "Complete sessions"),
            (
                "session_goodput_s",
                "session goodput",
                "Complete sessions of which every turn meets all SLOs of its class",
            ),
        )
        for window, over in _OVER
    ),
    *(
        (
            f"goodput_all_classes_req_s.{window}",
            f"goodput if every class holds, {window}",
            "req/s",
            (
                "Goodput, but 0 unless each class of traffic meets each of its SLOs at the SLO's "
                "percentile, with a failed request slower than all others. None without SLOs of "
                f"classes, or if such a class had no request. {over}"
            ),
            True,
        )
        for window, over in _OVER
    ),
    *_group_rows(),
    (
        "theoretical_hit_share",
        "cached share of the input, with an unlimited cache",
        "1",
        (
            "Prompt tokens that an unlimited prefix cache would hold, by the workload / prompt "
            "tokens, over the successful requests for which the workload declares it."
        ),
        None,
    ),
    (
        "working_set_tokens",
        "working set",
        "tok",
        (
            "Distinct tokens of prompts and answers: prompt tokens that no cache can hold, by the "
            "workload, and generated tokens, over all successful requests. None unless the "
            "workload declares them for each."
        ),
        None,
    ),
)
"""Name, title, unit, definition, and whether more is better."""
