"""Metrics of sessions, groups of turns and classes of traffic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenbench.api import UsageError
from tokenbench.load.records import ABSENT, SessionStatus, Status, label_number
from tokenbench.measure.arrays import SESSION_DTYPE, Rows
from tokenbench.measure.definitions import BY_NAME
from tokenbench.measure.goodput import class_metrics, classes_hold
from tokenbench.measure.metrics import measure_repeat
from tokenbench.measure.percentiles import percentile
from tokenbench.measure.session_definitions import SESSION_METRICS
from tokenbench.measure.sessions import all_sessions, turn_positions
from tokenbench.measure.window import steady_window, whole_window
from tokenbench.suite.slo import parse_objectives

NS = 1_000_000_000


def _session(number: int, begun: float, ended: float, **fields: Any) -> dict[str, Any]:
    return {
        "session": number,
        "status": SessionStatus.COMPLETE,
        "turns": 2,
        "ok": 2,
        "begun_ns": round(begun * NS),
        "ended_ns": round(ended * NS),
        **fields,
    }


def _sessions(*rows: dict[str, Any]) -> Rows:
    found = np.zeros(len(rows), SESSION_DTYPE)
    for row, fields in zip(found, rows, strict=True):
        for name, value in fields.items():
            row[name] = value
    return found


def test_metrics_of_sessions_by_hand(turn: Any, arrays: Any, phase: Any) -> None:
    """Three complete sessions, one failed, one cut, one that overflowed, and a single request."""
    sessions = _sessions(
        _session(0, 0.0, 4.0, waited_ns=1 * NS),
        _session(1, 0.0, 2.0),
        _session(2, 1.0, 7.0, waited_ns=4 * NS),
        _session(3, 2.0, 3.0, status=SessionStatus.FAILED, failed=1),
        _session(4, 2.0, 9.0, status=SessionStatus.CUT),
        _session(5, 2.0, 2.5, status=SessionStatus.OVERFLOW, failed=1),
    )
    turns = [turn(float(n), [n + 1.0, n + 1.5], session=n) for n in range(7)]
    for number in (3, 5):
        turns[number]["status"] = Status.HTTP
    found = measure_repeat(
        *arrays(turns), phase(0.0, 10.0, concurrency=3), accelerators=0, sessions=sessions
    )
    expected = {
        "sessions_complete": 4.0,
        "sessions_failed": 1.0,
        "sessions_overflow": 1.0,
        "sessions_cut": 1.0,
        "session_complete_share": 4 / 6,
        "session_failed_share": 2 / 6,
        "session_cut_share": 1 / 7,
        # Of 1.5 s (the request), 2 s, 4 s, 6 s and two without end.
        "makespan_s.p50": 5.0,
        "makespan_s.p90": None,
        "makespan_without_tools_s.p50": 2.5,  # Of 1.5, 2, 2, 3 s.
        "sessions_s.whole": 0.4,
        # From the third session's start at 2 s on: those that ended at 2, 4 and 7 and 7.5 s.
        "sessions_s.steady": 4 / 8,
        "session_goodput_s.whole": None,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_goodput_of_sessions_needs_every_turn(turn: Any, arrays: Any, phase: Any) -> None:
    """One slow turn of three spoils its session; a cut session does not count."""
    sessions = _sessions(
        _session(0, 0.0, 3.0), _session(1, 0.0, 3.0), _session(2, 0.0, 3.0, status=3)
    )
    turns = [
        turn(at, [at + ttft, at + ttft + 0.1], session=number, turn=index)
        for number, ttfts in enumerate([(0.1, 0.1, 0.1), (0.1, 0.9, 0.1), (0.1,)])
        for index, (at, ttft) in enumerate(zip((0.0, 1.0, 2.0), ttfts, strict=False))
    ]
    found = measure_repeat(
        *arrays(turns),
        phase(0.0, 10.0),
        accelerators=0,
        sessions=sessions,
        objectives=parse_objectives("ttft<0.5s", where="slo"),
    )
    assert (found["sessions_s.whole"], found["session_goodput_s.whole"]) == (0.2, 0.1)


def test_the_steady_state_opens_with_the_last_of_the_first_sessions(
    turn: Any, arrays: Any, phase: Any
) -> None:
    """Second turns of early sessions do not count as dispatches of others."""
    turns = [
        turn(0.0, [0.1], session=0, turn=0),
        turn(0.2, [0.3], session=0, turn=1),
        turn(0.4, [0.5], session=0, turn=2),
        turn(5.0, [5.1], session=1, turn=0),
    ]
    records, _ = arrays(turns)
    window = steady_window(records, phase(0.0, 9.0, concurrency=2))
    assert (window.start_ns, window.end_ns) == (5 * NS, 9 * NS)


def test_positions_count_by_agent(turn: Any, arrays: Any) -> None:
    """A sub-agent begins at its own first turn, in whatever order the records are."""
    rows = [(1, 0, 2, 1), (0, 0, 0, 0), (0, 3, 5, 1), (0, 3, 2, 0), (0, 0, 7, 1), (1, 0, 0, 0)]
    turns = [turn(0.0, [1.0], session=s, agent=a, turn=t) for s, a, t, _ in rows]
    assert turn_positions(arrays(turns)[0]).tolist() == [position for *_, position in rows]


def test_ttft_by_groups(turn: Any, arrays: Any, phase: Any) -> None:
    """By position, context and uncached tokens; a failed turn of known length is the slowest of its
    group, one of unknown length of every group.
    """
    turns = [
        turn(0.0, [0.2], session=0, turn=0, n_in=500, n_cached=0),
        turn(1.0, [1.4], session=0, turn=1, n_in=2000, n_cached=1500),
        turn(2.0, [2.8], session=0, turn=2, n_in=5000, n_cached=2000),
        turn(0.0, [0.4], session=1, turn=0, n_in=600, n_cached=0),
        turn(3.0, status=Status.TIMEOUT, session=1, turn=1, n_in=ABSENT, asked_in=2100),
    ]
    found = measure_repeat(*arrays(turns), phase(0.0, 9.0), accelerators=0)
    groups = {k: v for k, v in found.items() if k.startswith(("ttft_turn", "ttft_con", "ttft_un"))}
    expected = {
        "ttft_turn_1_s.p50": 0.3,
        "ttft_turn_2_s.p50": None,  # Of 0.4 s and one without end.
        "ttft_turn_3_5_s.p50": 0.8,
        "ttft_context_0_1k_s.p50": 0.3,
        "ttft_context_1k_4k_s.p50": None,
        "ttft_context_4k_16k_s.p50": 0.8,
        "ttft_uncached_0_1k_s.p50": 0.4,  # 0.2, 0.4, 0.4 s, and one that may belong here.
        "ttft_uncached_1k_4k_s.p50": None,
    }
    assert {k: v for k, v in groups.items() if k.endswith("p50")} == {
        k: pytest.approx(v) for k, v in expected.items()
    }


def test_turns_of_one_group_have_no_groups(turn: Any, arrays: Any, phase: Any) -> None:
    """TTFT says it already."""
    turns = [turn(float(n), [n + 0.5], session=n) for n in range(4)]
    found = measure_repeat(*arrays(turns), phase(0.0, 9.0), accelerators=0)
    assert not [name for name in found if name.startswith(("ttft_turn", "ttft_context"))]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30), st.integers(0, 9), st.floats(0, 100))
def test_percentiles_with_failures(values: list[float], failed: int, rank: float) -> None:
    """As numpy has it, with infinity for each failure."""
    found = percentile(np.array(values), failed, rank)
    whole = np.array([*values, *[1e300] * failed])
    expected = float(np.percentile(whole, rank))
    if found is None:
        assert expected > 1e200 or math.isclose(expected, 1e300) or failed
    else:
        assert found == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_metric_improves_when_more_fail(turn: Any, arrays: Any, phase: Any, data: Any) -> None:
    """Let a turn of a session fail, and the session with it: nothing becomes better."""
    count = data.draw(st.integers(2, 8))
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    sessions = _sessions(
        *(
            _session(n, 0.0, 1 + 9 * draw.random(), waited_ns=int(draw.random() * NS))
            for n in range(count)
        )
    )
    turns = [
        turn(
            at, [at + draw.random(), at + 1.2], session=n, turn=k, n_in=int(draw.integers(1, 9000))
        )
        for n in range(count)
        for k, at in enumerate((0.0, 2.0))
    ]
    for one in turns:
        one["asked_in"] = one["n_in"]
        one["label"] = label_number("a" if one["session"] % 2 else "b")
    objectives = parse_objectives("ttft<0.8s,a:e2e_p50<3s", where="slo")

    def measured() -> dict[str, float | None]:
        return measure_repeat(
            *arrays(turns), phase(0.0, 10.0), accelerators=0, sessions=sessions,
            objectives=objectives,
        )  # fmt: skip

    before = measured()
    victim = data.draw(st.integers(0, 2 * count - 1))
    turns[victim] |= {"status": Status.HTTP, "n_in": ABSENT, "arrivals": [], "chunk_tokens": []}
    sessions["status"][victim // 2] = SessionStatus.FAILED
    after = measured()
    for name in (*(name for name, *_ in SESSION_METRICS), "goodput_req_s.whole"):
        better, old, new = BY_NAME[name].higher_is_better, before.get(name), after.get(name)
        if better is None or old is None or new is None:
            assert not (old is None and new is not None), name
            continue
        assert new <= old + 1e-12 if better else new >= old - 1e-12, name


def _two_classes(turn: Any, slow: float) -> list[dict[str, Any]]:
    chat = [turn(k * 0.1, [k * 0.1 + 0.05], label=label_number("chat")) for k in range(20)]
    agent = [turn(k * 0.1, [k * 0.1 + slow], label=label_number("agent")) for k in range(5)]
    for number, one in enumerate([*chat, *agent]):
        one["session"] = number
    return [*chat, *agent]


def test_one_slow_class_fails_the_whole(turn: Any, arrays: Any, phase: Any) -> None:
    """Each class has its own limit: 20 and 5 requests in 2.5 s meet theirs, or 20 and none."""
    objectives = parse_objectives("chat:ttft_p99<100ms,agent:ttft_p90<1s", where="slo")
    for slow, good, every in ((0.5, 10.0, 10.0), (1.5, 8.0, 0.0)):
        found = measure_repeat(
            *arrays(_two_classes(turn, slow)),
            phase(0.0, 2.5),
            accelerators=0,
            objectives=objectives,
        )
        assert found["goodput_req_s.whole"] == pytest.approx(good)
        assert found["goodput_all_classes_req_s.whole"] == pytest.approx(every)


def test_a_class_with_failures_does_not_hold(turn: Any, arrays: Any) -> None:
    """A failed request is slower than any limit; an objective for all holds for each class."""
    turns = _two_classes(turn, 0.5)
    objectives = parse_objectives("agent:ttft_p90<1s", where="slo")
    assert classes_hold(arrays(turns)[0], objectives) is True
    turns[-1]["status"] = Status.HTTP
    assert classes_hold(arrays(turns)[0], objectives) is False
    for_all = parse_objectives("ttft_p50<100ms", where="slo")
    assert classes_hold(arrays(_two_classes(turn, 0.5))[0], for_all) is False


def test_a_class_without_requests_has_no_verdict(turn: Any, arrays: Any) -> None:
    """A typo in a label must not look like a class that holds."""
    objectives = parse_objectives("code:ttft<1s", where="slo")
    assert classes_hold(arrays(_two_classes(turn, 0.5))[0], objectives) is None


def test_metrics_of_classes(turn: Any, arrays: Any, phase: Any) -> None:
    """Each label by itself, with the objectives for all and its own."""
    records, _ = arrays(_two_classes(turn, 0.5))
    objectives = parse_objectives("ttft<0.2s,agent:ttft<1s", where="slo")
    whole = {"whole": whole_window(phase(0.0, 2.0))}
    found = class_metrics(records, ("agent", "chat"), objectives, whole)
    assert found["chat"]["ttft_s.p99"] == pytest.approx(0.05)
    assert found["agent"]["ttft_s.p50"] == pytest.approx(0.5)
    assert (found["chat"]["requests_ok"], found["agent"]["requests_ok"]) == (20.0, 5.0)
    assert (found["chat"]["goodput_req_s.whole"], found["agent"]["goodput_req_s.whole"]) == (10, 0)


def test_objectives_of_classes() -> None:
    """Each class may limit a metric once."""
    one, other = parse_objectives("ttft<1s, my-chat:ttft_p99.9<2s", where="slo")
    assert (one.label, other.label, other.name) == (None, "my-chat", "ttft_s.p99_9")
    assert str(other) == "my-chat:ttft_p99.9<2000ms"
    with pytest.raises(UsageError, match="ttft of chat has two objectives"):
        parse_objectives("chat:ttft<1s,chat:ttft<2s", where="slo")


def test_single_requests_are_sessions(turn: Any, arrays: Any) -> None:
    """With the status of their request."""
    status = (Status.OK, Status.CANCELLED, Status.OVERFLOW, Status.TIMEOUT)
    turns = [turn(0.0, [1.0], session=n, status=s) for n, s in enumerate(status)]
    rows = all_sessions(arrays(turns)[0], _sessions(_session(3, 0.0, 1.0)))
    assert sorted(zip(rows["session"].tolist(), rows["status"].tolist(), strict=True)) == [
        (0, SessionStatus.COMPLETE),
        (1, SessionStatus.CUT),
        (2, SessionStatus.OVERFLOW),
        (3, SessionStatus.COMPLETE),
    ]
