"""Whole response bodies of real servers, replayed and cut at every byte."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from tokenbench.api import Dialect, Target
from tokenbench.load.answer_text import AnswerText
from tokenbench.load.codecs import ChatCodec, CompletionsCodec
from tokenbench.load.generate import _read as read_whole
from tokenbench.load.records import Status
from tokenbench.load.request_state import InFlightRequest, ResponseFormat

_HERE = Path(__file__).parent
_CAPTURED = _HERE.parents[2] / "testing" / "tests" / "captured"
_WRITTEN = _HERE / "streams"
_TARGET = Target(model="m", dialect=Dialect())


@attrs.frozen
class _Stream:
    """A body, and what it means. `ends_at`: bytes after which the answer is whole."""

    file: Path
    chunks: int
    n_in: int
    n_out: int
    answer: str = ""
    reasoning: str = ""
    tool_calls: str = ""

    @property
    def body(self) -> bytes:
        return self.file.read_bytes()

    @property
    def codec(self) -> ChatCodec | CompletionsCodec:
        return CompletionsCodec() if "completions" in self.file.name else ChatCodec()

    @property
    def ends_at(self) -> int:
        return next(
            self.body.index(b"\n", self.body.index(mark))
            for mark in (b'"finish_reason":"length"', b'"finish_reason":"stop"', b'":"tool_calls"')
            if mark in self.body
        )


STREAMS = [
    _Stream(_CAPTURED / "chat.sse", 3, 33, 3, "Hello there!"),
    _Stream(_CAPTURED / "completions.sse", 3, 4, 3, " or three,"),
    _Stream(_CAPTURED / "vllm_chat.sse", 3, 33, 3, "Hello there!"),
    _Stream(_CAPTURED / "vllm_completions.sse", 3, 4, 3, " or three,"),
    _Stream(
        _CAPTURED / "vllm_ngram_completions.sse",
        7,
        300,
        12,
        " to be able to be able to be able to be able",
    ),
    _Stream(_CAPTURED / "sglang_chat.sse", 3, 33, 3, "Hello there!"),
    _Stream(_CAPTURED / "sglang_completions.sse", 3, 4, 3, " or three-"),
    _Stream(_CAPTURED / "dynamo_chat.sse", 3, 33, 3, " skills aw impact"),
    _Stream(_CAPTURED / "dynamo_completions.sse", 3, 4, 3, "anc problems point"),
    _Stream(_CAPTURED / "transformers_chat.sse", 3, 33, 3, "Hello there!"),
    _Stream(_CAPTURED / "transformers_completions.sse", 3, 4, 3, " or three-"),
    _Stream(_WRITTEN / "trtllm_chat.sse", 5, 11, 6, "Paris é.", "Capital? "),
    _Stream(_WRITTEN / "trtllm_completions.sse", 3, 4, 3, " one two three"),
    _Stream(_WRITTEN / "openai_chat.sse", 3, 9, 4, 'Hello "you"!'),
    _Stream(_WRITTEN / "openai_tools.sse", 6, 9, 15, tool_calls='weather{"city":"Rome"}'),
]
_all = pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.file.stem)


def _feed(stream: _Stream, *parts: bytes) -> InFlightRequest:
    request = InFlightRequest(
        0, 0, b"", (1, 1, False), ResponseFormat(stream.codec), 0, None, lambda _: None
    )
    request.http_status, request.answer_text = 200, AnswerText()
    try:
        for part in parts:
            request.on_body(part, 1)
        request.complete(1)
    except ValueError as error:
        request.end(1, Status.BROKEN, str(error))
    return request


@_all
def test_every_cut_gives_the_same_answer(stream: _Stream) -> None:
    """Two reads that meet at any byte, also inside a character, mean what the whole body means."""
    body = stream.body
    for cut in range(len(body) + 1):
        found = _feed(stream, body[:cut], body[cut:])
        assert found.status is Status.OK, (cut, found.error)
        assert (found.n_in, found.n_out, len(found.timestamps)) == (
            stream.n_in,
            stream.n_out,
            stream.chunks,
        )
        assert found.answer_text is not None
        said = (stream.answer, stream.reasoning, stream.tool_calls)
        assert found.answer_text.joined() == said


@_all
def test_a_stream_that_breaks_off_is_no_success(stream: _Stream) -> None:
    """Cut off at any byte before the finish reason, although the HTTP body ends properly."""
    body, ends_at = stream.body, stream.ends_at
    for cut in range(ends_at):
        assert _feed(stream, body[:cut]).status is not Status.OK, cut
    for cut in (ends_at, ends_at + 2, len(body)):
        assert _feed(stream, body[:cut]).status is Status.OK, cut


@_all
def test_control_requests_read_the_same(stream: _Stream) -> None:
    """Evals and readiness checks get the answer, apart from reasoning and tool calls."""
    found = read_whole(stream.codec, _TARGET, stream.body)
    assert (found.text, found.reasoning) == (stream.answer, stream.reasoning)
    assert (found.tool_calls, found.error) == (stream.tool_calls, None)
    assert (found.n_in, found.n_out, found.tokens) == (stream.n_in, stream.n_out, stream.chunks)
