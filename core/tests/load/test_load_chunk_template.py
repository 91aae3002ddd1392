"""A token that is recognised without parsing is the token that parsing would have found."""

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
from tokenbench.load.records import Status
from tokenbench.load.request_state import InFlightRequest
from tokenbench.load.socket_timestamps import Receiver

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class _Pool:
    def release(self, connection: Connection) -> None:
        """Not looked at."""

    def discard(self, connection: Connection) -> None:
        """Not used here."""

    def retry(self, request: InFlightRequest, reason: str) -> None:
        """Not used here."""


def _do(loop: EventLoop) -> int:
    """One piece of work; whether it was a closer look at a read."""
    function, arguments = loop.deferred.popleft()
    function(*arguments)
    return function.__name__ == "_parse"


def _read(
    codec: Any, reads: list[bytes], wait: int = 0, poll: Callable[[], Poller] = native.poller
) -> tuple[InFlightRequest, int]:
    """Feed a response in these reads; the exchange, and how many reads were parsed."""
    ended: list[InFlightRequest] = []
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with contextlib.closing(EventLoop(poll())) as loop, ours, theirs:
        made = Connection(ours, Receiver(loop), _Pool(), loop)
        request = InFlightRequest(
            0, 0, b"POST / HTTP/1.1\r\n\r\n", (1, 1, True), codec, 0, None, ended.append
        )
        made.send(request)
        left = looked = 0
        for part in reads:
            if made.closed:
                break
            theirs.sendall(part)
            made._reader(READ)
            # What is left to be done may be done at once, or wait for the next read or two.
            left = (left + 1) % (1 + wait)
            while loop.deferred and not left:
                looked += _do(loop)
        while loop.deferred:
            looked += _do(loop)
        made.close()
    assert ended == [request]
    return request, looked


def _chunked(body: str) -> bytes:
    data = body.encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


def _stream(texts: list[str | None], *, chat: bool, ascii_only: bool, spaced: bool) -> list[bytes]:
    """One HTTP chunk a token, as servers write them; None is a chunk without text."""
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


def _seen(request: InFlightRequest) -> tuple[Any, ...]:
    return (
        request.status,
        request.n_in,
        request.n_out,
        len(request.timestamps),
        request.bytes_in,
        request.done,
    )


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
def test_whatever_is_streamed_is_counted_as_parsing_counts_it(
    texts: list[str | None], chat: bool, ascii_only: bool, spaced: bool, data: st.DataObject
) -> None:
    """Any texts (quotes, escapes, none at all), any server's spelling, any cut of the bytes."""
    chunks = _stream(texts, chat=chat, ascii_only=ascii_only, spaced=spaced)
    whole = HEAD + b"".join(chunks) + b"0\r\n\r\n"
    if data.draw(st.booleans(), label="one chunk a read"):
        reads = [HEAD, *chunks, b"0\r\n\r\n"]
    else:
        cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=20))
        edges = [0, *sorted(cuts), len(whole)]
        reads = [whole[a:b] for a, b in itertools.pairwise(edges) if a < b]
    codec = ChatCodec() if chat else CompletionsCodec()
    slow = ChatCodec() if chat else CompletionsCodec()
    slow.text_marks = ()
    wait = data.draw(st.integers(0, 3), label="wait")
    parsed, _ = _read(slow, reads)
    for poll in (Poller, native.poller):
        quick, _ = _read(codec, reads, wait, poll)
        assert _seen(quick) == _seen(parsed)
        assert len(quick.timestamps) == sum(text is not None for text in texts)
        assert list(quick.timestamps) == sorted(quick.timestamps)


def test_plain_tokens_are_not_parsed(each_path) -> None:
    """Of a hundred tokens, each in a read of its own, only the first, the end, and a read of each
    new length are looked at closely.
    """
    texts: list[str | None] = [f" word{n}" for n in range(100)]
    chunks = _stream(texts, chat=False, ascii_only=False, spaced=False)
    request, looked = _read(CompletionsCodec(), [HEAD, *chunks, b"0\r\n\r\n"])
    assert (request.status, len(request.timestamps), request.n_out) == (Status.OK, 100, 100)
    assert looked <= 8


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
def test_only_a_plain_token_leaves_a_stencil(event: StreamEvent) -> None:
    """What counts for more than its arrival is decoded each time."""
    data = b'{"choices":[{"text":"a"}]}'
    assert make_template(data, event, (b'"text":"',)) is None
    assert make_template(data, StreamEvent(token=True, text="a"), (b'"text":"',)) is not None
    assert make_template(data, StreamEvent(token=True, text="a"), ()) is None
    assert make_template(b'{"x":"\\n","text":"a"}', StreamEvent(token=True, text="a"), ()) is None


def test_what_looks_like_a_chunk_within_one_is_not_one(each_path) -> None:
    """Nor when reads are cut right before and behind it, at line ends that are no chunk's."""
    first, token, more, *rest = (
        part.encode() if isinstance(part, str) else part
        for part in _stream(["a", "b", "c"], chat=False, ascii_only=True, spaced=False)
    )
    inside = b"\r\n" + token + b"\r\n" + more.partition(b"\r\n")[2]
    size = b"%x\r\n" % len(inside)
    parts = [HEAD + first, size + b"\r\n", token, inside[2 + len(token) :] + b"\r\n", *rest]
    cut, _ = _read(CompletionsCodec(), [*parts, b"0\r\n\r\n"])
    whole, _ = _read(CompletionsCodec(), [b"".join(parts) + b"0\r\n\r\n"])
    assert _seen(cut) == _seen(whole)
    assert whole.status is Status.OK


def test_an_interim_answer_is_not_the_answer(each_path) -> None:
    """103 Early Hints before the response: the request goes on, with its own answer."""
    chunks = _stream([" a", " b"], chat=False, ascii_only=False, spaced=False)
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    reads = [hints, HEAD, *chunks, b"0\r\n\r\n"]
    request, _ = _read(CompletionsCodec(), reads)
    assert (request.status, request.http_status, len(request.timestamps)) == (Status.OK, 200, 2)


@pytest.mark.parametrize("count", [2**32, 10**20])
def test_a_count_that_cannot_be_is_a_broken_answer(each_path, count: int) -> None:
    """It would fit no column; the turn is broken and the phase goes on."""
    usage = _chunked(json.dumps({"choices": [], "usage": {"completion_tokens": count}}))
    (first,) = _stream([" a"], chat=False, ascii_only=False, spaced=False)[:1]
    body = usage.partition(b"\r\n")[2].removesuffix(b"\r\n")
    event = _chunked(f"data: {body.decode()}\n\n")
    request, _ = _read(CompletionsCodec(), [HEAD, first, event])
    assert request.status is Status.BROKEN
    assert "impossible number" in (request.error or "")
