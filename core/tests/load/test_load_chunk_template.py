"""Tokens recognised by a chunk template are exactly the tokens that parsing finds."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenbench.api import StreamEvent
from tokenbench.load import native
from tokenbench.load.chunk_template import make_template
from tokenbench.load.codecs import ChatCodec, CompletionsCodec
from tokenbench.load.connection import Connection
from tokenbench.load.event_loop import EventLoop
from tokenbench.load.poller import READ, Poller
from tokenbench.load.records import RECORD, RECORD_FIELDS, Status
from tokenbench.load.request_state import InFlightRequest, ResponseFormat
from tokenbench.load.socket_timestamps import Receiver

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class _Pool:
    def release(self, connection: Connection) -> None:
        """Not used here."""

    def discard(self, connection: Connection) -> None:
        """Not used here."""

    def retry(self, request: InFlightRequest, reason: str) -> None:
        """Not used here."""


def _run_deferred(loop: EventLoop) -> int:
    """Run one piece of deferred work; returns 1 if it parsed a read."""
    function, arguments = loop.deferred.popleft()
    function(*arguments)
    return function.__name__ == "_parse"


def _read(
    codec: Any, reads: list[bytes], wait: int = 0, poller: Callable[[], Poller] = native.poller
) -> tuple[InFlightRequest, int]:
    """Feed a response in these reads; returns the request, and how many reads were parsed.

    Deferred work runs after each read, or only after every `wait` + 1 reads.
    """
    ended: list[InFlightRequest] = []
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with contextlib.closing(EventLoop(poller())) as loop, ours, theirs:
        connection = Connection(ours, Receiver(loop), _Pool(), loop)
        request = InFlightRequest(
            0,
            0,
            b"POST / HTTP/1.1\r\n\r\n",
            (1, 1, True, -1, -1, 0),
            ResponseFormat(codec),
            0,
            None,
            ended.append,
        )
        connection.send(request)
        delayed = parsed = 0
        for part in reads:
            if connection.closed:
                break
            theirs.sendall(part)
            connection._reader(READ)
            delayed = (delayed + 1) % (1 + wait)
            while loop.deferred and not delayed:
                parsed += _run_deferred(loop)
        theirs.close()
        if not connection.closed:
            connection._reader(READ)
        while loop.deferred:
            parsed += _run_deferred(loop)
    assert ended == [request]
    return request, parsed


def _chunked(body: str) -> bytes:
    data = body.encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


def _stream(texts: list[str | None], *, chat: bool, ascii_only: bool, spaced: bool) -> list[bytes]:
    """One HTTP chunk per token, as servers write them; None is a chunk without text."""
    separators = (", ", ": ") if spaced else (",", ":")

    def event(data: Any) -> bytes:
        text = json.dumps(data, ensure_ascii=ascii_only, separators=separators)
        return _chunked(f"data: {text}\n\n")

    chunks = []
    for text in texts:
        content = {"delta": {"content": text}} if chat else {"text": text}
        if text is None:
            content = {"delta": {}} if chat else {"text": ""}
        choice = {"index": 0, **content, "logprobs": None, "finish_reason": None}
        chunks.append(event({"id": "cmpl-1", "object": "x", "created": 1, "choices": [choice]}))
    usage = {"prompt_tokens": 3, "completion_tokens": len(texts)}
    return [*chunks, event({"choices": [], "usage": usage}), _chunked("data: [DONE]\n\n")]


def _record(request: InFlightRequest) -> dict[str, int]:
    """The fields of the record that do not depend on the time or on how the bytes were read."""
    fields = [name for name, _, _ in RECORD_FIELDS]
    record = dict(zip(fields, RECORD.unpack(request.row(0, 0)), strict=True))
    return {k: v for k, v in record.items() if not k.endswith("_ns") and k != "coalesced"}


def _cut(data: st.DataObject, stream: bytes) -> list[bytes]:
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=20), label="cuts")
    edges = [0, *sorted(cuts), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(edges) if a < b]


TEXTS = st.lists(
    st.none()
    | st.text(min_size=1, max_size=12)
    | st.sampled_from([' "', "\\", "}]}", "\n\n", "é"]),
    min_size=1,
    max_size=30,
)


@given(
    texts=TEXTS,
    chat=st.booleans(),
    ascii_only=st.booleans(),
    spaced=st.booleans(),
    data=st.data(),
)
def test_templates_and_parsing_give_the_same_record(
    texts: list[str | None], chat: bool, ascii_only: bool, spaced: bool, data: st.DataObject
) -> None:
    """Any text (quotes, escapes, none at all), any JSON style, any cut of the bytes, any damage."""
    chunks = _stream(texts, chat=chat, ascii_only=ascii_only, spaced=spaced)
    stream = HEAD + b"".join(chunks) + b"0\r\n\r\n"
    damaged = data.draw(st.booleans(), label="damaged")
    if damaged:
        place = data.draw(st.integers(len(HEAD), len(stream)), label="place")
        inserted = data.draw(st.sampled_from([b"", b"0", b'"', b"\n", b"\r\n", b"}"]))
        stream = stream[:place] + inserted + stream[place + data.draw(st.integers(0, 3)) :]
    if not damaged and data.draw(st.booleans(), label="one chunk per read"):
        reads = [HEAD, *chunks, b"0\r\n\r\n"]
    else:
        reads = _cut(data, stream)
    codec = ChatCodec() if chat else CompletionsCodec()
    without_templates = ChatCodec() if chat else CompletionsCodec()
    without_templates.text_marks = ()
    wait = data.draw(st.integers(0, 3), label="wait")
    expected, _ = _read(without_templates, reads)
    tokens = sum(text is not None for text in texts)
    if not damaged:
        assert expected.status is (Status.OK if tokens else Status.EMPTY)
        assert len(expected.timestamps) == tokens
    for poller in (Poller, native.poller):
        request, _ = _read(codec, reads, wait, poller)
        assert _record(request) == _record(expected)
        assert (request.error, request.counts) == (expected.error, expected.counts)
        assert list(request.timestamps) == sorted(request.timestamps)


def test_plain_tokens_are_not_parsed(each_path) -> None:
    """Of a hundred tokens in reads of their own, only the first one and the end are parsed."""
    texts: list[str | None] = [f" word{n}" for n in range(100)]
    chunks = _stream(texts, chat=False, ascii_only=False, spaced=False)
    request, parsed = _read(CompletionsCodec(), [HEAD, *chunks, b"0\r\n\r\n"])
    assert (request.status, len(request.timestamps), request.n_out) == (Status.OK, 100, 100)
    assert parsed <= 5


@pytest.mark.parametrize(
    "event",
    [
        StreamEvent(token=True, text="a", n_tokens=2),
        StreamEvent(token=True, text="a", n_out=4),
        StreamEvent(token=True, text="a", finish="stop"),
        StreamEvent(token=True, text=""),
        StreamEvent(token=False, text="a"),
        StreamEvent(token=True, text="a", error="no"),
    ],
)
def test_only_plain_tokens_make_a_template(event: StreamEvent) -> None:
    """Events with usage, a finish reason or an error must be decoded each time."""
    data = b'{"choices":[{"text":"a"}]}'
    assert make_template(data, event, (b'"text":"',)) is None
    assert make_template(data, StreamEvent(token=True, text="a"), (b'"text":"',)) is not None
    assert make_template(data, StreamEvent(token=True, text="a"), ()) is None
    assert make_template(b'{"x":"\\n","text":"a"}', StreamEvent(token=True, text="a"), ()) is None


def test_a_chunk_inside_a_chunk_is_no_token(each_path) -> None:
    """Not even if the reads are cut right before and after it."""
    first, token, more, *rest = (
        part.encode() if isinstance(part, str) else part
        for part in _stream(["a", "b", "c"], chat=False, ascii_only=True, spaced=False)
    )
    inside = b"\r\n" + token + b"\r\n" + more.partition(b"\r\n")[2]
    size = b"%x\r\n" % len(inside)
    parts = [HEAD + first, size + b"\r\n", token, inside[2 + len(token) :] + b"\r\n", *rest]
    cut, _ = _read(CompletionsCodec(), [*parts, b"0\r\n\r\n"])
    whole, _ = _read(CompletionsCodec(), [b"".join(parts) + b"0\r\n\r\n"])
    assert _record(cut) == _record(whole)
    assert whole.status is Status.OK


def test_interim_responses_are_skipped(each_path) -> None:
    """After 103 Early Hints, the final response is read as usual."""
    chunks = _stream([" a", " b"], chat=False, ascii_only=False, spaced=False)
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    reads = [hints, HEAD, *chunks, b"0\r\n\r\n"]
    request, _ = _read(CompletionsCodec(), reads)
    assert (request.status, request.http_status, len(request.timestamps)) == (Status.OK, 200, 2)


@pytest.mark.parametrize("count", [2**32, 10**20])
def test_impossible_token_counts_break_the_request(each_path, count: int) -> None:
    """A count that does not fit into the records ends the request, not the phase."""
    usage = _chunked(json.dumps({"choices": [], "usage": {"completion_tokens": count}}))
    (first,) = _stream([" a"], chat=False, ascii_only=False, spaced=False)[:1]
    body = usage.partition(b"\r\n")[2].removesuffix(b"\r\n")
    event = _chunked(f"data: {body.decode()}\n\n")
    request, _ = _read(CompletionsCodec(), [HEAD, first, event])
    assert request.status is Status.BROKEN
    assert "impossible number" in (request.error or "")
