"""Formats, contents, times and theoretical hit rates of traces."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from tokenbench_workload_trace.formats import detect, read_trace
from tokenbench_workload_trace.plugin import TraceOptions
from tokenbench_workload_trace.requests import TraceRequest, TraceSession
from tokenbench_workload_trace.weka import weka_sessions
from tokenbench_workload_trace.workload import TraceWorkload, block_list

from tokenbench.api import (
    PlannedSession,
    SingleTurn,
    TokenPrompt,
    Turn,
    UsageError,
    WorkloadContext,
)
from tokenbench_testing.samples.prompts import SampleTokenizer, play

TRACES = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "traces"
IDS = WorkloadContext(tokenizer=SampleTokenizer(), token_ids=True, chat=False)
MOONCAKE = [
    {"timestamp": 500, "input_length": 1030, "output_length": 3, "hash_ids": [0, 1, 2]},
    {"timestamp": 0, "input_length": 700, "output_length": 2, "hash_ids": [0, 7]},
    {"timestamp": 900, "input_length": 1100, "output_length": 0, "hash_ids": [0, 1, 5]},
]
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n"
AZURE += "2023-11-16 18:17:04.0319600,3180,8\n"
BURST = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
BURST += "5,ChatGPT,472,18,490,Conversation log\n45,GPT-4,87,0,87,API log\n"


def _file(folder: Path, rows: list[Any], name: str = "trace.jsonl") -> str:
    file = folder / name
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(file)


def _turns(count: int, **options: Any) -> list[Turn]:
    found = itertools.islice(TraceWorkload(TraceOptions(**options)).sessions(IDS, 1), count)
    return [session.turn for session in found if isinstance(session, SingleTurn)]


def _ids(turn: Turn) -> tuple[int, ...]:
    assert isinstance(turn.prompt, TokenPrompt)
    return turn.prompt.ids


def test_blocks_of_mooncake_repeat(tmp_path: Path) -> None:
    """In the order of time; equal ids are equal tokens, and lengths are exact."""
    first, second = _turns(2, file=_file(tmp_path, MOONCAKE))
    assert [first.n_in, second.n_in] == [len(_ids(first)), len(_ids(second))] == [700, 1030]
    assert [first.max_tokens, second.max_tokens] == [2, 3]
    assert _ids(first)[:512] == _ids(second)[:512]
    assert _ids(first)[512:560] != _ids(second)[512:560]
    assert [first.shared_tokens, second.shared_tokens] == [0, 512]


def test_requests_without_output(tmp_path: Path) -> None:
    """Skipped, or sent for one token; then the trace begins again with other content."""
    file = _file(tmp_path, MOONCAKE)
    skipping = _turns(3, file=file)
    assert [turn.n_in for turn in skipping] == [700, 1030, 700]
    assert _ids(skipping[0]) != _ids(skipping[2])
    assert [turn.max_tokens for turn in _turns(3, file=file, without_output="one")] == [2, 3, 1]
    assert [turn.n_in for turn in _turns(2, file=file, most_tokens=800)] == [700, 700]
    with pytest.raises(UsageError, match="the options skip every request"):
        _turns(1, file=file, most_tokens=5)


def test_times(tmp_path: Path) -> None:
    """Of the requests that are left, in seconds."""
    workload = TraceWorkload(TraceOptions(file=_file(tmp_path, MOONCAKE)))
    assert workload.arrivals_s() == (0.0, 0.5)
    assert workload.context_tokens() == 1033 + 64
    other = TraceWorkload(TraceOptions(file=_file(tmp_path, MOONCAKE[:1], "other.jsonl")))
    assert workload.dataset_hash() != other.dataset_hash()


def test_csv_formats(tmp_path: Path) -> None:
    """Azure has fractions of 100 ns; BurstGPT has log types and failed requests."""
    azure, burst = tmp_path / "azure.csv", tmp_path / "burst.csv"
    azure.write_text(AZURE)
    burst.write_text(BURST)
    assert (detect(azure), detect(burst)) == ("azure", "burstgpt")
    one, other = read_trace((azure,), "auto").sessions
    assert other.at_s - one.at_s == pytest.approx(0.052, abs=1e-6)
    assert (one.requests[0].n_in, one.requests[0].n_out) == (4808, 10)
    one, other = read_trace((burst,), "auto").sessions
    assert (one.at_s, one.requests[0].label) == (5.0, "Conversation log")
    assert other.requests[0].n_out == 0
    assert [turn.label for turn in _turns(2, file=str(burst))] == ["Conversation log"] * 2


def _weka(**changes: Any) -> dict[str, Any]:
    def request(t: float, n_in: int, blocks: list[int], **more: Any) -> dict[str, Any]:
        return {
            "t": t,
            "type": "n",
            "in": n_in,
            "out": 5,
            "hash_ids": blocks,
            "api_time": 1.0,
            **more,
        }

    requests = [
        request(10.0, 100, [1, 2]),
        {
            "t": 12.0, "type": "subagent",
            "requests": [request(12.0, 64, [9]), request(15.0, 130, [9, 10, 11])],
        },
        {"t": 12.5, "type": "subagent", "requests": [request(12.5, 64, [12], api_time=99.0)]},
        request(20.0, 200, [1, 2, 3, 4]),
        request(22.0, 70, [1, 7]),
    ]  # fmt: skip
    return {"id": "a", "block_size": 64, "hash_id_scope": "local", "requests": requests, **changes}


def test_weka_sessions() -> None:
    """The main agent waits for the sub-agent that ends before its next request, not for the other;
    pauses lie between the end of a request and the beginning of the next.
    """
    session = weka_sessions(_weka())
    parents = [request.parents for request in session.requests]
    assert parents == [(), (0,), (1,), (0,), (0, 2), (4,)]
    assert [request.agent for request in session.requests] == [0, 1, 1, 2, 0, 0]
    assert [request.delay_s for request in session.requests] == [0.0, 1.0, 2.0, 1.5, 0.0, 1.0]
    assert session.at_s == 10.0


def test_weka_is_replayed_with_compaction(tmp_path: Path) -> None:
    """A request whose blocks no longer begin with those before shares only what is left of them;
    another session has other content behind the same ids.
    """
    file = _file(tmp_path, [_weka(), _weka(id="b")], "weka.jsonl")
    workload = TraceWorkload(TraceOptions(file=file, idle_cap_s=1.2))
    one, other = itertools.islice(workload.sessions(IDS, 1), 2)
    assert isinstance(one, PlannedSession) and isinstance(other, PlannedSession)
    turns, others = play(one).turns, play(other).turns
    main = [turn for turn in turns if turn.agent == 0]
    assert [turn.shared_tokens for turn in main] == [0, 100, 64]
    assert [len(_ids(turn)) for turn in main] == [100, 200, 70]
    assert _ids(main[1])[:100] == _ids(main[0]) and _ids(main[2])[:64] == _ids(main[0])[:64]
    assert max(turn.delay_s for turn in turns) == 1.2
    assert _ids(turns[0]) != _ids(others[0])


def test_weka_from_the_middle(tmp_path: Path) -> None:
    """The first sessions begin with a request of the main agent, which has its whole prompt."""
    file = _file(tmp_path, [_weka(id=str(n)) for n in range(8)], "weka.jsonl")
    context = attrs.evolve(IDS, begin_inside=8)
    found = list(itertools.islice(TraceWorkload(TraceOptions(file=file)).sessions(context, 1), 16))
    sizes = [session.plan[0].n_in for session in found if isinstance(session, PlannedSession)]
    assert set(sizes[8:]) == {100} and set(sizes[:8]) <= {100, 200, 70} and len(set(sizes)) > 1
    for session in found:
        assert play(session).over


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello\n", "has no known format"),
        ('{"input_length": 5}\n', "KeyError: 'timestamp'"),
        ('{"timestamp": 0, "input_length": 0, "output_length": 1, "hash_ids": []}\n', "of 0 and 1"),
        (json.dumps(_weka(block_size=32)), "blocks of 32 tokens"),
        ('{"input_length": \n', "is not a trace of the format mooncake"),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """With the file and the reason."""
    file = tmp_path / "x.jsonl"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        TraceWorkload(TraceOptions(file=str(file))).arrivals_s()


def test_missing_files_are_refused(tmp_path: Path) -> None:
    """When the workload is made, before anything starts."""
    with pytest.raises(UsageError, match="there is no file"):
        TraceWorkload(TraceOptions(file=str(tmp_path / "no")))
    with pytest.raises(UsageError, match=r"has no file with \.jsonl or \.json or \.csv"):
        TraceWorkload(TraceOptions(file=str(tmp_path)))


@pytest.mark.parametrize(
    ("name", "requests", "share"), [("conversation", 12_031, 0.374), ("synthetic", 3_993, 0.651)]
)
def test_theoretical_hit_rates_of_the_published_traces(
    name: str, requests: int, share: float
) -> None:
    """Of tokens, with a cache without limit: by the ids alone, as the prompts would share them."""
    file = TRACES / f"mooncake_{name}_trace.jsonl"
    if not file.exists():
        pytest.skip(f"needs {file}")
    trace = read_trace((file,), "auto")
    seen: set[int] = set()
    shared = total = 0
    for session in trace.sessions:
        (request,) = session.requests
        for block in block_list(request, trace.block_tokens):
            if block.key not in seen:
                break
            shared += block.tokens
        seen.update(request.blocks)
        total += request.n_in
    assert len(trace.sessions) == requests
    assert shared / total == pytest.approx(share, abs=0.0005)


def test_prompts_share_what_the_published_trace_says() -> None:
    """The first 60 requests of a real trace, compared with the ids."""
    file = TRACES / "mooncake_synthetic_trace.jsonl"
    if not file.exists():
        pytest.skip(f"needs {file}")
    sent: list[tuple[int, ...]] = []
    for turn in _turns(60, file=str(file), most_tokens=20_000):
        ids = _ids(turn)
        assert len(ids) == turn.n_in
        longest = max((_common(ids, other) for other in sent), default=0)
        assert turn.shared_tokens is not None
        assert turn.shared_tokens <= longest <= turn.shared_tokens + 2
        sent.append(ids)


def _common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def test_a_prompt_longer_than_its_blocks_has_content_of_its_own() -> None:
    """The rest of a prompt is in no other one."""
    request = TraceRequest(n_in=100, n_out=1, blocks=(4,))
    assert [(b.key, b.tokens) for b in block_list(request, 64)] == [(4, 64), ("own", 36)]
    assert TraceSession(at_s=0.0, requests=(request,)).own_blocks is False


BURST_1_2 = """\
Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type
19440110.0,0b0e4b3c-0000-4000-8000-000000000001,43,GPT-4,906,446,1352,Conversation log
19440161.0,0b0e4b3c-0000-4000-8000-000000000001,2,GPT-4,1420,29,1449,Conversation log
19440192.5,,11,ChatGPT,36,0,36,API log
"""
"""The columns of BurstGPT v1.2; the values are invented."""


def test_burstgpt_with_sessions(tmp_path: Path) -> None:
    """Columns since v1.2: each row is a request at its time."""
    file = tmp_path / "burst.csv"
    file.write_text(BURST_1_2)
    found = read_trace((file,), "auto").sessions
    assert [session.at_s for session in found] == [19440110.0, 19440161.0, 19440192.5]
    assert [session.requests[0].n_in for session in found] == [906, 1420, 36]
    # The request without an answer failed.
    assert len(TraceWorkload(TraceOptions(file=str(file))).arrivals_s()) == 2


def _relative() -> dict[str, Any]:
    """As kv-cache-tester's traces have it: times of a sub-agent's requests from its beginning; the
    last, incomplete block of a prompt has no id.
    """
    inner = [
        {"t": 0.0, "type": "n", "model": "h", "in": 70, "out": 3, "hash_ids": [9], "api_time": 1.0},
        {"t": 5.0, "type": "n", "model": "h", "in": 150, "out": 3, "hash_ids": [9, 10]},
    ]
    more: dict[str, Any] = {
        "model": "m",
        "input_types": ["text"],
        "output_types": ["text"],
        "stop": "tool_use",
    }
    more["api_time"] = 2.0
    return {
        "id": "trace_0000",
        "models": ["m", "h"],
        "block_size": 64,
        "hash_id_scope": "local",
        "tool_tokens": 64,
        "system_tokens": 10,
        "requests": [
            {"t": 0.0, "type": "n", "in": 140, "out": 4, "hash_ids": [1, 2], **more},
            {
                "t": 34.0, "type": "subagent", "agent_id": "agent_001", "subagent_type": "Explore",
                "duration_ms": 8000, "status": "completed", "requests": inner,
            },
            {"t": 36.0, "type": "s", "in": 200, "out": 0, "hash_ids": [1, 2, 3], **more},
            {"t": 50.0, "type": "n", "in": 210, "out": 4, "hash_ids": [1, 2, 3], **more},
        ],
        "totals": {},
    }  # fmt: skip


def test_weka_with_times_from_the_beginning_of_a_subagent(tmp_path: Path) -> None:
    """It runs from 34 s to 39 s: the request at 36 s does not wait for it, that at 50 s does. With
    join=next, the request at 36 s waits.
    """
    recorded, following = (weka_sessions(_relative(), join) for join in ("recorded", "next"))
    assert [r.parents for r in recorded.requests] == [(), (0,), (1,), (0,), (3, 2)]
    assert [r.delay_s for r in recorded.requests] == [0.0, 32.0, 4.0, 34.0, 0.0]
    assert [r.parents for r in following.requests] == [(), (0,), (1,), (0, 2), (3,)]
    file = _file(tmp_path, [_relative()], "weka.jsonl")
    (session,) = itertools.islice(TraceWorkload(TraceOptions(file=file)).sessions(IDS, 1), 1)
    turns = play(session).turns
    # Within a session, a request without output asks for one token instead of being skipped.
    assert [turn.max_tokens for turn in turns if turn.agent == 0] == [4, 1, 4]
    # The rest of a prompt after its last whole block is new each time.
    assert [turn.shared_tokens for turn in turns if turn.agent == 0] == [0, 128, 192]


def test_the_preset_agentx(tmp_path: Path) -> None:
    """It sets its options, and sessions begin between a quarter and three quarters of them."""
    rows = [
        {"t": float(n), "type": "n", "in": 64 * (n + 1), "out": 2, "hash_ids": list(range(n + 1))}
        for n in range(20)
    ]
    one = {"id": "a", "block_size": 64, "hash_id_scope": "local", "requests": rows}
    options = TraceOptions(preset="agentx", file=_file(tmp_path, [one] * 40, "weka.jsonl"))
    assert (options.join, options.idle_cap_s, options.format) == ("next", 300.0, "weka")
    context = attrs.evolve(IDS, begin_inside=40)
    found = list(itertools.islice(TraceWorkload(options).sessions(context, 1), 41))
    begins = [s.plan[0].n_in // 64 - 1 for s in found if isinstance(s, PlannedSession)]
    assert begins[-1] == 0
    assert set(begins[:-1]) <= set(range(5, 15)) and len(set(begins)) > 5
    with pytest.raises(ValueError, match="the preset agentx has 300"):
        TraceOptions(preset="agentx", idle_cap_s=20.0)
    with pytest.raises(ValueError, match="expected at most begin_most"):
        TraceOptions(begin_least=0.5, begin_most=0.25)
