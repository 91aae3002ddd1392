"""Sessions of several turns: forks, joins, failures, ends, and what their records say."""

from __future__ import annotations

import json
import pickle
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from msgspec import structs

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    ChatPrompt,
    Dialect,
    FrozenMap,
    HttpRequest,
    ImagePart,
    Message,
    PluginError,
    Session,
    SharedState,
    SingleTurn,
    Stop,
    StreamEvent,
    Target,
    TextPart,
    TextPrompt,
    ToolCall,
    Turn,
    TurnResult,
)
from tokenbench.load.answer_text import AnswerText
from tokenbench.load.codecs import find_codec
from tokenbench.load.overflow import is_overflow
from tokenbench.load.records import (
    ABSENT,
    Finish,
    SessionStatus,
    Status,
    label_number,
)
from tokenbench.load.session_file import SessionReader, SessionWriter
from tokenbench.load.session_state import SessionState
from tokenbench.load.target_url import TargetUrl
from tokenbench.store.records import read_raw, read_sessions

from .peers import chunked, whole

TARGET = Target(model="base", dialect=Dialect(codecs=(COMPLETIONS,)))


@attrs.define
class Planned(Session):
    """Returns its turns at once; `parents` and texts are given. Further turns follow the first."""

    turns: tuple[Turn, ...]
    then: tuple[Turn, ...] = ()
    told: list[tuple[int, bool]] = attrs.field(factory=list)

    def next(self, previous: TurnResult | None) -> tuple[Turn, ...] | None:
        """All turns; after each success one of `then`."""
        if previous is None:
            return self.turns
        self.told.append((previous.number, previous.ok))
        if previous.ok and self.then:
            first, *rest = self.then
            self.then = tuple(rest)
            return (first,)
        return None


def _turn(text: str = "some words here", **fields: Any) -> Turn:
    return Turn(prompt=TextPrompt(text), **{"max_tokens": 3, **fields})


def _by_turn(folder: Path) -> dict[int, Any]:
    records, _ = read_raw(folder)
    return {int(row["turn"]): row for row in records}


def test_a_turn_whose_parent_failed_is_recorded_and_not_sent(run_here, serve, tmp_path) -> None:
    """A join waits for both; one fails, so the join and what follows it fail, without a request."""
    session = Planned(
        (
            _turn("good one"),
            _turn("BAD one"),
            _turn("join", parents=(0, 1)),
            _turn("after", parents=(2,)),
            _turn("other", parents=(0,)),
        )
    )
    result = run_here(serve("--reject", "BAD"), [session], concurrency=1)
    status = {n: Status(row["status"]) for n, row in _by_turn(tmp_path).items()}
    assert status == {
        0: Status.OK,
        1: Status.HTTP,
        2: Status.PARENT_FAILED,
        3: Status.PARENT_FAILED,
        4: Status.OK,
    }
    assert _by_turn(tmp_path)[2]["sent_first_ns"] == ABSENT
    assert (result.summary.turns, result.summary.failed) == (5, 3)
    (row,) = read_sessions(tmp_path)
    assert (row["status"], row["turns"], row["ok"], row["failed"]) == (
        SessionStatus.FAILED, 5, 2, 3,
    )  # fmt: skip


def test_a_long_chain_behind_a_failure_is_no_recursion() -> None:
    """Each of 20,000 turns waits for the one before; the first fails."""
    dropped: list[int] = []
    chain = (_turn(), *(_turn(parents=(n,)) for n in range(20_000)))
    session = Planned(chain)
    state = SessionState(
        0, session, lambda *_: None, lambda _s, n, _t: dropped.append(n), begun_ns=5
    )
    state.start()
    assert state.open == 1

    class Failed:
        turn, status, end_ns = 0, Status.HTTP, 9
        answer_text = AnswerText()
        n_in = n_out = ABSENT

    state.dispatched(5)
    state.turn_ended(Failed())  # type: ignore[arg-type]
    assert dropped == list(range(1, 20_001))
    assert session.told == [(n, False) for n in range(20_001)]
    assert (state.finished, state.status(cut=False)) == (True, SessionStatus.FAILED)


def test_a_turn_cannot_wait_for_a_later_one() -> None:
    """It would wait for ever."""
    state = SessionState(
        0, Planned((_turn(parents=(1,)),)), lambda *_: None, lambda *_: None, begun_ns=0
    )
    with pytest.raises(ValueError, match="turn 0 waits for a turn that is not an earlier one"):
        state.start()


def test_sessions_in_progress_go_on_when_no_more_begin(run_here, serve, tmp_path) -> None:
    """After the limit of sessions all turns of those that began are sent: none is cut."""
    sessions = [Planned((_turn(),), (_turn(),) * (n % 4)) for n in range(40)]
    result = run_here(serve(), sessions, concurrency=4, stop=Stop(sessions=10))
    assert result.summary.stopped_by == "session_limit"
    rows = read_sessions(tmp_path)
    assert sorted(rows["session"]) == list(range(10))
    assert set(rows["status"]) == {SessionStatus.COMPLETE}
    assert sum(rows["turns"]) == result.summary.turns == sum(1 + n % 4 for n in range(10))
    last = read_raw(tmp_path)[0]["sent_first_ns"].max()
    assert result.summary.dispatch_ended_ns < last


def test_sessions_that_the_stop_rule_ends_are_cut(run_here, serve, tmp_path) -> None:
    """The one whose last turn was in flight is complete."""
    sessions = [Planned((_turn(),), (_turn(),) * 50), Planned((_turn(max_tokens=200),))]
    run_here(serve("--itl-s", "0.01"), sessions, concurrency=2, stop=Stop(duration_s=0.5))
    by_session = {row["session"]: SessionStatus(row["status"]) for row in read_sessions(tmp_path)}
    assert by_session == {0: SessionStatus.CUT, 1: SessionStatus.COMPLETE}


def test_tool_time_is_apart(run_here, serve, tmp_path) -> None:
    """Waits of 0.1 s and 0.2 s, one of them beside a turn in flight, which is no wait."""
    session = Planned(
        (
            _turn(),
            _turn(parents=(0,), delay_s=0.1),
            _turn(parents=(1,), max_tokens=30),
            _turn(parents=(1,), delay_s=0.01),
            _turn(parents=(2, 3), delay_s=0.2),
        )
    )
    run_here(serve("--itl-s", "0.01"), [session], concurrency=1)
    (row,) = read_sessions(tmp_path)
    assert row["waited_ns"] == 300_000_000
    records, _ = read_raw(tmp_path)
    assert row["begun_ns"] == records["scheduled_ns"].min()
    assert row["ended_ns"] == records["end_ns"].max()


def test_overflow_has_a_status_of_its_own(run_here, start_server, tmp_path) -> None:
    """By the words of the server, for the turn and its session."""
    said = b'{"error":{"message":"This model\'s maximum context length is 4096 tokens."}}'

    def script(peer: Any) -> None:
        while peer.request() is not None:
            peer.send(b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))

    run_here(start_server(script).url, [Planned((_turn(),))], concurrency=1)
    assert _by_turn(tmp_path)[0]["status"] == Status.OVERFLOW
    assert read_sessions(tmp_path)["status"].tolist() == [SessionStatus.OVERFLOW]


@pytest.mark.parametrize(
    ("error", "overflows"),
    [
        ("HTTP 400: This model's maximum context length is 4096 tokens", True),
        ("request (9000 tokens) exceeds the available context size (4096 tokens)", True),
        ("exceed_context_size_error", True),
        ("The input (9000 tokens) is longer than the model's context length (4096 tokens).", True),
        ("The decoder prompt is longer than the maximum model length of 4096", True),
        ("context_length_exceeded", True),
        ("HTTP 400: model not found", False),
        ("the context of the request was cancelled", False),
    ],
)
def test_words_of_servers_for_an_overflow(error: str, overflows: bool) -> None:
    """vLLM, llama.cpp, SGLang, the OpenAI API; and other errors."""
    assert is_overflow(error) is overflows


def _chat_events() -> list[bytes]:
    deltas = [
        '{"role":"assistant"}',
        '{"reasoning_content":"let me"}',
        '{"reasoning_content":" think"}',
        '{"content":"It is"}',
        '{"content":" so"}',
        '{"tool_calls":[{"index":0,"id":"a","function":{"name":"look","arguments":""}}]}',
        '{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}',
        '{"tool_calls":[{"index":1,"id":"b","function":{"name":"go","arguments":"{}"}}]}',
    ]
    parts = [b'data: {"choices":[{"index":0,"delta":%b}]}\n\n' % delta.encode() for delta in deltas]
    end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}\n\n'
    return [*parts, end, b"data: [DONE]\n\n"]


def test_records_say_what_turns_are_and_what_came_back(run_here, start_server, tmp_path) -> None:
    """Label, agent, shared tokens; finish reason, tool calls, reasoning apart from the answer."""

    def script(peer: Any) -> None:
        while peer.request() is not None:
            peer.send(*chunked(_chat_events()), b"0\r\n\r\n")

    turns = (
        _turn(label="agent", agent=2, shared_tokens=7),
        _turn(label="chat"),
    )
    prepared = SingleTurn(_turn(label="batch", shared_tokens=1))
    result = run_here(start_server(script).url, [Planned(turns), prepared], codec=CHAT)
    assert result.summary.labels == ("agent", "batch", "chat")
    records, _ = read_raw(tmp_path)
    found = {(int(r["label"]), int(r["agent"]), int(r["asked_shared"])) for r in records}
    assert found == {
        (label_number("agent"), 2, 7),
        (label_number("chat"), 0, ABSENT),
        (label_number("batch"), 0, 1),
    }
    assert set(records["finish"]) == {Finish.TOOL_CALLS}
    assert set(records["tool_calls"]) == {2}
    assert set(records["reasoning_chunks"]) == {2}
    assert set(records["chunks"]) == {7}
    assert (records["answer_ns"] >= records["first_ns"]).all()


def test_the_answer_begins_after_the_reasoning(run_here, start_server, tmp_path, each_path) -> None:
    """`answer_ns` is the arrival of the first text of the answer, not of the reasoning."""
    think, answer = _chat_events()[1], _chat_events()[3]

    def script(peer: Any) -> None:
        while peer.request() is not None:
            peer.send(*chunked([think]))
            time.sleep(0.05)
            peer.send(*(b"%x\r\n%b\r\n" % (len(p), p) for p in [answer, *_chat_events()[-2:]]))
            peer.send(b"0\r\n\r\n")

    run_here(start_server(script).url, [SingleTurn(_turn())], codec=CHAT)
    (record,) = read_raw(tmp_path)[0]
    assert record["answer_ns"] - record["first_ns"] >= 40_000_000


def test_messages_with_parts_tools_and_calls() -> None:
    """As the OpenAI API has them; the model of the turn replaces the deployment's."""
    schema = FrozenMap({"type": "function", "function": FrozenMap({"name": "look"})})
    prompt = ChatPrompt(
        (
            Message("user", (TextPart("what is it"), ImagePart("data:image/png;base64,AA"))),
            Message("assistant", "", (ToolCall(id="a", name="look", arguments='{"at":1}'),)),
            Message("tool", "a cat", tool_call_id="a"),
        ),
        tools=(schema,),
    )
    turn = Turn(
        prompt=prompt,
        max_tokens=1,
        model="adapter",
        extra_body=FrozenMap({"response_format": FrozenMap({"type": "json_object"})}),
    )
    body = json.loads(find_codec(CHAT, None).encode(turn, TARGET).body)
    assert (body["model"], body["response_format"]) == ("adapter", {"type": "json_object"})
    assert body["tools"] == [{"type": "function", "function": {"name": "look"}}]
    user, assistant, tool = body["messages"]
    assert user["content"] == [
        {"type": "text", "text": "what is it"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
    ]
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}}
    assert assistant["tool_calls"] == [call]
    assert (tool["role"], tool["tool_call_id"]) == ("tool", "a")
    assert prompt.messages[0].text == "what is it"


@pytest.mark.parametrize("prepared", [True, False])
def test_affinity_is_a_header_if_the_dialect_has_one(
    run_here, start_server, prepared: bool
) -> None:
    """For single requests, which are encoded ahead, and for turns of sessions."""
    heads: list[str] = []

    def script(peer: Any) -> None:
        while head := peer.head():
            heads.append(head)
            length = int(re.search(r"(?i)content-length: (\d+)", head)[1])  # type: ignore[index]
            peer.body(length)
            peer.send(whole())

    turns = [_turn(affinity="k1"), _turn()]
    sessions: list[Session] = [SingleTurn(turn) if prepared else Planned((turn,)) for turn in turns]
    run_here(
        start_server(script).url,
        sessions,
        dialect=Dialect(codecs=(COMPLETIONS,), affinity_header="x-session-id"),
        concurrency=1,
    )
    assert ["x-session-id: k1\r\n" in f"{head}\r\n" for head in heads] == [True, False]


def test_a_header_cannot_break_a_request() -> None:
    """A line break in a value would begin another header."""
    url = TargetUrl("http://127.0.0.1:1", api_key=None)
    dialect = Dialect(codecs=(COMPLETIONS,), affinity_header="x-a")
    turn = _turn(affinity="a\r\nx-b: c")
    request = find_codec(COMPLETIONS, None).encode(turn, Target(model="m", dialect=dialect))
    with pytest.raises(ValueError, match="cannot send the header"):
        url.http_bytes(request)


@attrs.frozen
class Vocabulary(SharedState):
    """Large, and the same for all sessions."""

    words: tuple[str, ...]


@attrs.define
class Speaker(Session):
    """Refers to the vocabulary."""

    vocabulary: Vocabulary
    seed: int

    def next(self, previous: TurnResult | None) -> Turn | None:
        """One turn."""
        if previous is not None:
            return None
        return _turn(self.vocabulary.words[self.seed])


def test_shared_state_is_sent_once(tmp_path: Path) -> None:
    """However many sessions refer to it, they get one object."""
    vocabulary = Vocabulary(tuple(f"word{n}" for n in range(10_000)))
    alone = len(pickle.dumps(vocabulary))
    file = tmp_path / "sessions"
    writer = SessionWriter(file)
    for seed in range(100):
        writer.write(Speaker(vocabulary, seed), find_codec(COMPLETIONS, None), TARGET)
    writer.end()
    assert alone < writer.size < 1.5 * alone
    reader = SessionReader(file, TargetUrl("http://127.0.0.1:1", api_key=None))
    found = [reader.next() for _ in range(100)]
    assert reader.next() is None
    reader.close()
    assert [one.seed for one in found if isinstance(one, Speaker)] == list(range(100))
    assert len({id(one.vocabulary) for one in found if isinstance(one, Speaker)}) == 1


@pytest.mark.parametrize("owner", ["codec 'y'", None])
@pytest.mark.parametrize("headers", [(("x-a", "two\nlines"),), (("x-a", "v" * 70_000),)])
def test_headers_that_cannot_be_sent_are_the_codec_s_fault(
    owner: str | None, headers: tuple[tuple[str, str], ...], tmp_path: Path
) -> None:
    """Those of a built-in codec are the turn's, so they are the workload's."""
    built_in = find_codec(COMPLETIONS, None)

    class Adding:
        def encode(self, turn: Turn, target: Target) -> HttpRequest:
            return structs.replace(built_in.encode(turn, target), headers=headers)

    writer = SessionWriter(tmp_path / "sessions", "workload 'w'", owner)
    member = r"workload 'w': Session.next\(\)" if owner is None else r"codec 'y': encode\(\)"
    with pytest.raises(PluginError, match=f"{member} returned what cannot be sent"):
        writer.write(SingleTurn(_turn()), Adding(), TARGET)  # type: ignore[arg-type]
    writer.delete()


def test_forks_and_joins_take_linear_time() -> None:
    """20,000 children of one turn, and one join of all of them: each is looked at once."""
    count = 20_000
    sent: list[int] = []
    fork = [_turn(parents=(0,)) for _ in range(count)]
    join = _turn(parents=tuple(range(1, count + 1)))
    compared = 0

    class Counting(Turn):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return self is other

        __hash__ = object.__hash__

    turns = tuple(Counting(**attrs.asdict(turn, recurse=False)) for turn in (_turn(), *fork, join))
    state = SessionState(
        0, Planned(turns), lambda _s, n, _t: sent.append(n), lambda *_: None, begun_ns=0
    )
    state.start()
    for number in range(count + 1):
        state.dispatched(0)
        state.turn_ended(_good(number))
    assert sent == list(range(count + 2))
    assert compared == 0


def _good(number: int) -> Any:
    class Good:
        turn, status, end_ns = number, Status.OK, number
        answer_text = AnswerText()
        n_in = n_out = 1

    return Good()


def test_turns_are_encoded_while_they_wait(
    run_here: Callable[..., Any], serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The codec is called before the delay, not after it."""
    from tokenbench.load.codecs import CompletionsCodec

    encoded: dict[str, int] = {}
    real = CompletionsCodec.encode

    def encode(self: CompletionsCodec, turn: Turn, target: Target) -> Any:
        encoded[turn.prompt.text] = time.monotonic_ns()  # type: ignore[union-attr]
        return real(self, turn, target)

    monkeypatch.setattr(CompletionsCodec, "encode", encode)
    session = Planned((_turn("first"), _turn("second", parents=(0,), delay_s=0.2)))
    result = run_here(serve(), [session], concurrency=1)
    rows = {int(r["turn"]): r for r in result.records}
    assert encoded["second"] < rows[1]["scheduled_ns"] - 100_000_000
    assert np.all(result.records["status"] == Status.OK)


@pytest.mark.covers("Codec.decoder")
def test_a_decoder_keeps_state_for_each_stream(run_here, start_server) -> None:
    """A protocol that sends the text so far: each event's new part is its text."""
    from tokenbench.load.codecs import BUILT_IN, CompletionsCodec
    from tokenbench.load.openai_chunk import classify

    class Decoder:
        def __init__(self) -> None:
            self.seen = ""

        def decode(self, event: bytes) -> StreamEvent:
            found = classify(event)
            new, self.seen = found.text[len(self.seen) :], found.text or self.seen
            return StreamEvent(
                token=bool(new), text=new, finish=found.finish, done=found.done, n_out=found.n_out
            )

    class Codec(CompletionsCodec):
        text_marks = ()

        def decoder(self) -> Any:
            return Decoder().decode

    texts = ["a", "a b", "a b c"]
    parts = [b'data: {"choices":[{"index":0,"text":"%b"}]}\n\n' % text.encode() for text in texts]
    end = b'data: {"choices":[{"index":0,"text":"a b c","finish_reason":"stop"}]}\n\n'

    def script(peer: Any) -> None:
        while peer.request() is not None:
            peer.send(*chunked([*parts, end, b"data: [DONE]\n\n"]), b"0\r\n\r\n")

    session = Planned((_turn(),), (_turn(),))
    heard: list[str] = []
    real = Planned.next

    def listen(self: Planned, previous: TurnResult | None) -> Any:
        heard.append(previous.text if previous else "")
        return real(self, previous)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BUILT_IN, COMPLETIONS, Codec)
        patch.setattr(Planned, "next", listen)
        result = run_here(start_server(script).url, [session], concurrency=1)
    assert heard == ["", "a b c", "a b c"]
    assert result.records["chunks"].tolist() == [3, 3]
    assert result.records["finish"].tolist() == [Finish.STOP] * 2
