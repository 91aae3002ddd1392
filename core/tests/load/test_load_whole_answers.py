"""A success is a whole answer; what the measurement does not need fails no request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tokenbench.api import (
    CHAT,
    Access,
    ChatPrompt,
    Dialect,
    Message,
    Session,
    Target,
    TextPrompt,
    Turn,
    TurnResult,
)
from tokenbench.load.codecs import ChatCodec, CompletionsCodec
from tokenbench.load.generate import generate

from .peers import Peer, answer_all, chunked, whole

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("each_path")]


def _chunk(text: Any = " word", finish: Any = None, **more: Any) -> bytes:
    return _event({"choices": [{"index": 0, "text": text, "finish_reason": finish}], **more})


def _event(data: Any) -> bytes:
    return b"data: %b\n\n" % (data if isinstance(data, bytes) else json.dumps(data).encode())


TOKENS = _chunk() * 2
FINISH = _chunk("", "length")
USAGE = _event({"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2}})
DONE = b"data: [DONE]\n\n"


def _outcome(start_server: Any, run_here: Any, body: bytes, **options: Any) -> tuple[str, str]:
    """Status and error of a request; the next one on this server succeeds."""

    def script(peer: Peer) -> None:
        if peer.request() is not None:
            peer.send(whole(body))
        answer_all(peer)

    result = run_here(start_server(script).url, 2, **options)
    assert result.statuses[1] == "OK"
    return result.statuses[0], "".join(result.errors)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (TOKENS + b'event: error\ndata: {"message":"engine died"}\n\n' + DONE, "engine died"),
        (TOKENS + b"event: error\ndata: engine died\n\n" + FINISH + USAGE + DONE, "engine died"),
        (TOKENS + b"event:Error\r\ndata:engine died\r\n\r\n" + FINISH, "engine died"),
        (TOKENS + b": engine died\nevent: error\n\n" + FINISH, "engine died"),
        (TOKENS + b'error: {"message":"engine died"}\n\n', "engine died"),
        (TOKENS + b'{"error":{"message":"engine died"}}\n\n', "engine died"),
        (TOKENS + _event({"error": {"message": "engine died", "code": 500}}) + DONE, "engine died"),
        (TOKENS + _event({"error": "engine died"}) + FINISH + USAGE, "engine died"),
        (TOKENS + _event({"object": "error", "message": "engine died"}), "engine died"),
        (TOKENS + _event({"message": "engine died", "code": 500}) + FINISH, "engine died"),
        (TOKENS + _event({"detail": "engine died"}) + FINISH, "engine died"),
        (TOKENS + _event({"choices": [{"error": {"message": "engine died"}}]}), "engine died"),
        (TOKENS + _chunk("", "error") + DONE, "error"),
        (TOKENS + _chunk("", "abort") + USAGE + DONE, "abort"),
        (b'{"error":{"message":"engine died"}}', "engine died"),
        (b'{\n "object": "error",\n "message": "engine died"\n}', "engine died"),
        (b'{"detail":"engine died"}', "engine died"),
    ],
)
def test_errors_of_any_form_fail_the_request(start_server, run_here, body, words) -> None:
    """With the words of the server, whatever comes after the error, in a body with status 200."""
    status, error = _outcome(start_server, run_here, body)
    assert status == "ERROR_EVENT"
    assert words in error


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (TOKENS, "BROKEN", "without a finish_reason or usage"),
        (TOKENS + DONE, "BROKEN", "without a finish_reason or usage"),
        # Continuous usage: each chunk has it, so it says nothing about the end.
        (
            _chunk(usage={"prompt_tokens": 4, "completion_tokens": 1}) + DONE,
            "BROKEN",
            "without a finish_reason",
        ),
        (
            TOKENS + _chunk("", usage={"prompt_tokens": 4, "completion_tokens": 3}),
            "BROKEN",
            "without a finish_reason",
        ),
        (b'{"choices":[{"message":{"content":"hi"}}]}', "BROKEN", "not an event stream: {"),
        (b"<html>Bad gateway</html>", "BROKEN", "not an event stream: <html>"),
        (b"", "EMPTY", "no token"),
        (b": ping\n\n: ping\n\n", "EMPTY", "no token"),
        (FINISH + USAGE + DONE, "EMPTY", "no token"),
    ],
)
def test_an_answer_that_is_not_whole_fails(start_server, run_here, body, status, words) -> None:
    """The end of the HTTP body, or [DONE], alone do not make an answer whole."""
    found, error = _outcome(start_server, run_here, body)
    assert (found, words in error) == (status, True), error


@pytest.mark.parametrize(
    "body",
    [
        TOKENS + FINISH,
        TOKENS + USAGE,
        TOKENS + FINISH + USAGE + DONE,
        TOKENS + _chunk("", "length", usage={"prompt_tokens": 4, "completion_tokens": 2}),
        TOKENS + _chunk(" last", "stop"),
        TOKENS + FINISH + _event({"choices": None, "usage": {"completion_tokens": 2}}),
        TOKENS + FINISH + _event({"usage": {"completion_tokens": 2}}),
        # Keep-alives and what nobody needs.
        b"data:\n\ndata\n\ndata: \n\n" + TOKENS + b"data:\n\n: ping\n\n" + FINISH,
        b"event: ping\ndata: {}\n\n" + TOKENS + b"id: 7\nretry: 3\nnew: field\n\n" + FINISH,
        b"event: completion\n" + _chunk() + TOKENS + FINISH,
        TOKENS + _event(None) + _event([]) + _event({}) + _event(7) + FINISH,
        TOKENS + _event({"choices": []}) + _event({"choices": None}) + FINISH,
        TOKENS + _event({"choices": [{"delta": None}]}) + _event({"choices": [None]}) + FINISH,
        TOKENS + _event({"choices": [{"text": " x"}], "error": None}) + FINISH,
        TOKENS + _event({"choices": [{"text": " x"}], "error": ""}) + FINISH,
        TOKENS + _chunk("", "length", id=7, created="now", object=None, model=["m"]),
        TOKENS + _chunk("", "length", usage="none") + _event(b' {"choices": [] } '),
        # No valid Unicode: half a surrogate pair, bytes that are no UTF-8.
        _event(b'{"choices":[{"text":"\\ud83d"}]}') + TOKENS + FINISH,
        _event(b'{"choices":[{"text":"\xff\xfe"}]}') + TOKENS + FINISH,
        _event(b'{"choices":[{"text":"a\tb"}]}') + TOKENS + FINISH,
    ],
)
def test_whole_answers_succeed(start_server, run_here, body) -> None:
    """Whatever form the end has, and whatever else the stream carries."""
    assert _outcome(start_server, run_here, body) == ("OK", "")


@pytest.mark.parametrize(
    ("usage", "n_in", "n_out"),
    [
        ({"prompt_tokens": 4.0, "completion_tokens": "2"}, 4, 2),
        ({"prompt_tokens": None, "completion_tokens": 2, "prompt_tokens_details": None}, -1, 2),
        ({"prompt_tokens": 4, "completion_tokens": 2, "prompt_tokens_details": "none"}, 4, 2),
        ({"prompt_tokens": {}, "completion_tokens": [], "prompt_tokens_details": {}}, -1, -1),
        ({"prompt_tokens": 4, "prompt_tokens_details": {"cached_tokens": -1}}, 4, -1),
        ({"prompt_tokens": 4.5, "completion_tokens": True}, -1, -1),
    ],
)
def test_odd_usage_is_read_where_it_can_be(start_server, run_here, usage, n_in, n_out) -> None:
    """Numbers as floats or strings count; what is no number is not measured."""
    body = TOKENS + _chunk("", "length", usage=usage) + DONE
    result = run_here(start_server(lambda peer: _answer(peer, body)).url)
    assert (result.statuses, result.errors) == (["OK"], ())
    assert (result.records["n_in"][0], result.records["n_out"][0]) == (n_in, n_out)
    assert result.records["n_cached"][0] == -1


def _answer(peer: Peer, body: bytes) -> None:
    while peer.request() is not None:
        peer.send(whole(body))


def test_done_is_required_where_the_dialect_says_so(start_server, run_here) -> None:
    """A server that always sends [DONE] broke off if it is missing."""
    dialect = Dialect(codecs=("openai-completions",), done_event=True)
    found, error = _outcome_with(start_server, run_here, TOKENS + FINISH, dialect)
    assert (found, "end mark" in error) == ("BROKEN", True)
    assert _outcome_with(start_server, run_here, TOKENS + FINISH + DONE, dialect) == ("OK", "")


def _outcome_with(server: Any, run_here: Any, body: bytes, dialect: Dialect) -> tuple[str, str]:
    return _outcome(server, run_here, body, dialect=dialect)


def test_an_error_before_a_broken_connection_is_reported(start_server, run_here) -> None:
    """The server says why, then drops the connection: its words are kept."""

    def script(peer: Peer) -> None:
        if peer.request() is not None:
            peer.send(*chunked([TOKENS, _event({"error": {"message": "out of memory"}})]))
            peer.reset()

    result = run_here(start_server(script).url)
    assert result.statuses == ["ERROR_EVENT"]
    assert "out of memory" in result.errors[0]


def test_several_choices_are_one_answer(start_server, run_here) -> None:
    """Tokens of all choices count; the answer is that of choice 0."""
    codec = CompletionsCodec()
    both = {
        "choices": [
            {"index": 0, "text": "a", "token_ids": [1]},
            {"index": 1, "text": "b", "token_ids": [2]},
        ]
    }
    event = codec.classify(json.dumps(both).encode())
    assert (event.token, event.text, event.n_tokens) == (True, "a", 2)
    other = codec.classify(b'{"choices":[{"index":1,"text":"b","finish_reason":"stop"}]}')
    assert (other.token, other.text, other.finish) == (True, "", "stop")
    body = _event(both) + _chunk("", "length") + _event({"choices": [{"index": 1, "text": "c"}]})
    assert _outcome(start_server, run_here, body)[0] == "BROKEN"


# -- reasoning, answer, tool calls ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("delta", "answer", "reasoning", "calls"),
    [
        ({"content": "a", "reasoning_content": "r"}, "a", "r", ""),
        ({"content": None, "reasoning": "r", "reasoning_content": "r"}, "", "r", ""),
        ({"content": [{"type": "text", "text": "a"}, {"text": "b"}]}, "ab", "", ""),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "r"}]}]},
            "",
            "r",
            "",
        ),
        ({"tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}, "", "", "f{"),
        ({"tool_calls": [{"index": 0}]}, "", "", "?"),
        ({"function_call": {"name": "f"}}, "", "", "f"),
        ({"refusal": "no", "content": None}, "no", "", ""),
        ({"content": "", "tool_calls": [], "function_call": None}, "", "", ""),
        ({"content": 7, "reasoning_content": {"a": 1}}, "", "", ""),
    ],
)
def test_kinds_are_told_apart(delta, answer, reasoning, calls) -> None:
    """All kinds are tokens, but only the answer is the answer."""
    event = ChatCodec().classify(json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode())
    assert (event.answer, event.reasoning, event.tool_calls) == (answer, reasoning, calls)
    assert event.text == reasoning + answer
    assert event.token == bool(answer or reasoning or calls)


THINKING = (
    _event({"choices": [{"delta": {"reasoning_content": "Paris? Rome? "}}]})
    + _event({"choices": [{"delta": {"content": "unsure\ud83d"}}]})
    + _event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    + DONE
)


class Dialogue(Session):
    """Two turns; the second quotes the answer of the first."""

    def __init__(self) -> None:
        self.seen: list[TurnResult] = []

    def next(self, previous: TurnResult | None) -> Turn | None:
        """The first turn, then the one with the history."""
        if previous is None:
            return Turn(prompt=TextPrompt("first"), max_tokens=3)
        if previous.number == 0:
            quoted = Message("assistant", f"{previous.text}|{previous.reasoning}")
            return Turn(prompt=ChatPrompt((quoted,)), max_tokens=3, parents=(0,))
        return None


def test_later_turns_get_the_answer_only(start_server, run_here) -> None:
    """Reasoning is apart; half a surrogate pair in the answer does not break the next request."""
    bodies: list[bytes] = []

    def script(peer: Peer) -> None:
        while (body := peer.request()) is not None:
            bodies.append(body)
            peer.send(whole(THINKING))

    result = run_here(start_server(script).url, [Dialogue()], codec=CHAT)
    assert result.statuses == ["OK", "OK"]
    content = json.loads(bodies[1])["messages"][0]["content"]
    assert content == "unsure\ufffd|Paris? Rome? "


def test_evals_score_the_answer_only(start_server, tmp_path) -> None:
    """The reasoning names capitals, the answer does not; reasoning is available beside it."""
    from tokenbench.api import Generation
    from tokenbench.evals.server import HttpEvalServer
    from tokenbench.evals.worker import EvalJob

    server = start_server(lambda peer: _answer(peer, THINKING))
    target = Target(model="m", dialect=Dialect())
    turn = Turn(prompt=TextPrompt("Capital?"), max_tokens=3)
    found = generate(server.url, ChatCodec(), turn, target, None, timeout_s=10)
    assert (found.text, found.reasoning, found.error) == ("unsure\ufffd", "Paris? Rome? ", None)
    names = {field.name for field in EvalJob.__attrs_attrs__}
    values: dict[str, Any] = dict.fromkeys(names)
    values.update(
        base_url=server.url,
        model="m",
        concurrency=1,
        scratch=str(tmp_path),
        samples=str(tmp_path / "samples.jsonl"),
        request_timeout_s=10.0,
        stall_timeout_s=10.0,
        codec=CHAT,
        dialect=Dialect(codecs=(CHAT,)),
        access=Access(),
    )
    request = Generation(prompt=TextPrompt("Capital?"), max_tokens=3)
    assert HttpEvalServer(EvalJob(**values)).generate([request]) == ["unsure\ufffd"]


def test_truncated_eval_answers_are_errors(start_server) -> None:
    """An eval question with a truncated answer is not scored."""
    server = start_server(lambda peer: _answer(peer, TOKENS + DONE))
    turn = Turn(prompt=TextPrompt("Capital?"), max_tokens=3)
    target = Target(model="m", dialect=Dialect())
    found = generate(server.url, CompletionsCodec(), turn, target, None, timeout_s=10)
    assert "without a finish_reason" in (found.error or "")
