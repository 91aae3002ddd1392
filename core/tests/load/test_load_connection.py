"""Connections on real sockets: ends of responses, errors, retries, unexpected data."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    PluginError,
    Session,
    SingleTurn,
    Stop,
    TextPrompt,
    Turn,
    TurnResult,
)
from tokenbench.load.codecs import find_codec
from tokenbench.load.connection import Connection
from tokenbench.load.event_loop import EventLoop
from tokenbench.load.poller import READ
from tokenbench.load.pool import ConnectionPool
from tokenbench.load.records import Status
from tokenbench.load.request_state import InFlightRequest, ResponseFormat
from tokenbench.load.target_url import TargetUrl
from tokenbench.load.timers import Timers

from .conftest import plain_session
from .peers import OK, Peer, answer_all, chunked, events, whole

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("each_path")]
BODY = b"".join(events())


def _once(*parts: bytes, end: Callable[[Peer], None] = lambda _: None) -> Callable[[Peer], None]:
    """A script that sends `parts` to the first request, then calls `end`.

    Requests on other connections are answered correctly.
    """

    def script(peer: Peer) -> None:
        if peer.number:
            answer_all(peer)
        elif peer.request() is not None:
            peer.send(*parts)
            end(peer)

    return script


# -- how a response ends -------------------------------------------------------------------------


def test_a_body_without_length_ends_with_the_connection(start_server, run_here) -> None:
    """As in HTTP/1.0, still valid: OK, every token counted."""
    server = start_server(_once(OK + b"\r\n", *events()))
    result = run_here(server.url)
    assert result.statuses == ["OK"]
    assert result.records["n_out"].tolist() == result.records["chunks"].tolist() == [3]


@pytest.mark.parametrize(
    "parts",
    [[whole()[:-20]], chunked(events()), chunked(events())[:3], [OK[:-6]], [b"HTTP/1.1 200"]],
    ids=["length", "no last chunk", "chunks", "head", "first line"],
)
def test_an_incomplete_response_is_broken(start_server, run_here, parts) -> None:
    """The connection closes within the head, or before the announced end of the body."""
    result = run_here(start_server(_once(*parts)).url)
    assert result.statuses == ["BROKEN"]
    assert result.errors == ("broken: connection closed: by server",)


def test_a_head_in_two_reads_is_recognised(start_server, run_here) -> None:
    """The first read has the Content-Length, so the early end is an error."""

    def script(peer: Peer) -> None:
        assert peer.request() is not None
        for part in (OK + b"Content-Length: 9999\r\nX-", b"Y: z\r\n\r\n" + BODY):
            peer.send(part)
            time.sleep(0.1)

    assert run_here(start_server(script).url).statuses == ["BROKEN"]


@pytest.mark.parametrize(
    "interim",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
        # The length of the interim response, not of the final one.
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 7\r\n\r\n",
    ],
    ids=["100", "two", "with length"],
)
@pytest.mark.parametrize("together", [True, False], ids=["one read", "two reads"])
def test_interim_responses_are_skipped(start_server, run_here, interim, together) -> None:
    """Status and framing are those of the final response."""
    real = OK + b"\r\n" + BODY
    parts = [interim + real] if together else [interim, real]
    result = run_here(start_server(_once(*parts)).url)
    assert (result.statuses, result.records["http_status"].tolist()) == (["OK"], [200])


def test_switching_protocols_is_broken(start_server, run_here) -> None:
    """An unrequested 101 fails the request; the phase continues."""
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    result = run_here(start_server(_once(switch, end=Peer.until_closed)).url, 2)
    assert result.statuses == ["BROKEN", "OK"]
    assert "not HTTP" in result.errors[0]


def test_a_reset_in_the_body_is_broken(start_server, run_here) -> None:
    """Even if a normal close would have ended the body."""
    result = run_here(start_server(_once(OK + b"\r\n", *events()[:2], end=Peer.reset)).url)
    assert result.statuses == ["BROKEN"]
    assert "reset by peer" in result.errors[0]


def test_other_protocols_are_broken(start_server, run_here) -> None:
    """The error says so, and the connection is not used again."""
    server = start_server(_once(b"SSH-2.0-server\r\n", end=Peer.until_closed))
    result = run_here(server.url, 2)
    assert result.statuses == ["BROKEN", "OK"]
    assert "not HTTP" in result.errors[0]
    assert server.connections == 2


@pytest.mark.parametrize("framed", [True, False], ids=["length", "to the end"])
def test_error_bodies_are_truncated(start_server, run_here, framed) -> None:
    """The beginning of the server's message is kept."""
    head, page = b"HTTP/1.1 500 Internal Server Error\r\n", b"no" * 100_000
    result = run_here(
        start_server(_once(whole(page, head) if framed else head + b"\r\n" + page)).url
    )
    assert result.statuses == ["HTTP"]
    (error,) = result.errors
    assert error.startswith("http: HTTP 500: nono") and len(error) < 400


def test_redirects_name_their_address(start_server, run_here) -> None:
    """The address is in the head, which is read only then."""
    head = b"HTTP/1.1 308 Permanent Redirect\r\nlocation: https://other.test/v1\r\n"
    result = run_here(start_server(_once(whole(b"", head))).url)
    assert result.errors == ("http: HTTP 308: to https://other.test/v1",)


@pytest.mark.parametrize("codec", [COMPLETIONS, CHAT])
@pytest.mark.parametrize("header", [b"Content-Encoding: gzip\r\n", b""], ids=["header", "bytes"])
def test_compressed_responses_are_recognized(start_server, run_here, codec, header) -> None:
    """A proxy may compress although the request asks not to."""
    asked: list[str] = []

    def script(peer: Peer) -> None:
        asked.append(peer.head())
        peer.send(whole(gzip.compress(b"".join(events())), OK + header))

    result = run_here(start_server(script).url, codec=codec)
    assert (result.statuses, result.errors) == (["BROKEN"], ("broken: compressed response (gzip)",))
    assert "Accept-Encoding: identity" in asked[0]


# -- reuse and retries ---------------------------------------------------------------------------

FIRST_ENDED = threading.Event()


class Pause(Session):
    """Two turns, half a second apart. The event tells the server that the first has ended."""

    def next(self, previous: TurnResult | None) -> Turn | None:
        """The first turn, then the second."""
        if previous is None:
            FIRST_ENDED.clear()
        elif previous.number == 0:
            FIRST_ENDED.set()
            return Turn(prompt=TextPrompt("second"), max_tokens=3, delay_s=0.5)
        else:
            return None
        return Turn(prompt=TextPrompt("first"), max_tokens=3)


@pytest.mark.parametrize("end", [lambda _: None, Peer.reset], ids=["closed", "reset"])
def test_a_connection_closed_while_idle_is_not_used(start_server, run_here, end) -> None:
    """The close was noticed in time, so no request had to be retried."""

    def after_a_while(peer: Peer) -> None:
        assert FIRST_ENDED.wait(20)
        end(peer)

    result = run_here(start_server(_once(whole(), end=after_a_while)).url, [Pause()])
    assert (result.statuses, result.reused, result.retries) == (["OK", "OK"], [0, 0], 0)


@pytest.mark.parametrize("stray", [b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"\0"])
def test_data_on_an_idle_connection_closes_it(start_server, run_here, stray) -> None:
    """Otherwise it would be read as the next response."""

    def after_a_while(peer: Peer) -> None:
        assert FIRST_ENDED.wait(20)
        peer.send(stray)
        peer.until_closed()

    server = start_server(_once(whole(), end=after_a_while))
    result = run_here(server.url, [Pause()])
    assert (result.statuses, result.reused) == (["OK", "OK"], [0, 0])
    assert server.connections == 2


@pytest.mark.parametrize("end", [lambda _: None, Peer.reset], ids=["closed", "reset"])
def test_a_request_lost_to_an_idle_timeout_is_retried(start_server, run_here, end) -> None:
    """The server closed the connection when the request arrived: one retry on a new connection."""

    def script(peer: Peer) -> None:
        assert peer.request() is not None
        peer.send(whole())
        if peer.number:
            answer_all(peer)
        elif peer.request() is not None:
            end(peer)

    server = start_server(script)
    result = run_here(server.url, 3)
    assert (result.statuses, result.reused, result.retries) == (["OK"] * 3, [0, 0, 1], 1)
    assert server.connections == 2
    assert result.records["retries"].tolist() == [0, 1, 0]
    assert (result.records["sent_first_ns"] >= result.records["scheduled_ns"]).all()


def test_the_time_of_the_first_attempt_counts(start_server, run_here) -> None:
    """The server takes a request, drops it 0.3 s later: TTFT has that time, dispatch delay not."""

    def script(peer: Peer) -> None:
        assert peer.request() is not None
        peer.send(whole())
        if peer.number:
            answer_all(peer)
        elif peer.request() is not None:
            time.sleep(0.3)
            peer.reset()

    result = run_here(start_server(script).url, 2)
    assert (result.statuses, result.retries) == (["OK", "OK"], 1)
    retried = result.records[1]
    assert retried["retries"] == 1
    assert retried["first_ns"] - retried["sent_first_ns"] > 300_000_000
    assert retried["sent_last_ns"] - retried["sent_first_ns"] > 300_000_000
    assert retried["sent_first_ns"] - retried["scheduled_ns"] < 200_000_000


def test_a_request_is_retried_once(start_server, run_here) -> None:
    """A server that drops every second request, also the one sent again, has broken it."""

    def script(peer: Peer) -> None:
        assert peer.request() is not None
        if not peer.number:
            peer.send(whole())
            peer.request()

    result = run_here(start_server(script).url, 2)
    assert (result.statuses, result.retries) == (["OK", "BROKEN"], 1)
    assert result.records["retries"].tolist() == [0, 1]
    assert result.errors == ("broken: connection closed: by server",)


def test_a_large_lost_request_is_retried(start_server, run_here) -> None:
    """The connection breaks during the write; the retry sends the complete request."""
    bodies: list[bytes | None] = []

    def script(peer: Peer) -> None:
        while (peer.number or not bodies) and (body := peer.request()) is not None:
            bodies.append(body)
            peer.send(whole())
        peer.head()

    result = run_here(start_server(script, receive_buffer=65536).url, [plain_session(1), _large()])
    assert (result.statuses, result.reused, result.retries) == (["OK", "OK"], [0, 0], 1)
    assert LARGE.encode() in (bodies[1] or b"")


def test_a_started_response_prevents_a_retry(start_server, run_here) -> None:
    """The server has worked on the request, so it is broken."""
    bodies: list[bytes | None] = []

    def script(peer: Peer) -> None:
        while (body := peer.request()) is not None:
            bodies.append(body)
            if len(bodies) == 2:
                peer.send(b"H")
                return
            peer.send(whole())

    result = run_here(start_server(script).url, 3)
    assert (result.statuses, result.reused) == (["OK", "BROKEN", "OK"], [0, 1, 0])
    assert (len(bodies), result.retries) == (3, 0)


def test_closed_connections_are_discarded(start_server, run_here, monkeypatch) -> None:
    """Without keep-alive every request connects, and memory does not grow with the requests."""
    kept: list[int] = []
    close = ConnectionPool.close
    monkeypatch.setattr(
        ConnectionPool, "close", lambda pool: (kept.append(len(pool._all)), close(pool))
    )
    result = run_here(start_server(_closing).url, 20)
    assert (result.statuses, result.reused) == (["OK"] * 20, [0] * 20)
    assert kept == [0]


def _closing(peer: Peer) -> None:
    if peer.request() is not None:
        peer.send(whole(head=OK + b"Connection: close\r\n"))
        peer.until_closed()


# -- unexpected data -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        whole(),
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 90\r\n\r\nunder way",
        b"HTTP/1.1 2",
        b"nonsense",
    ],
    ids=["two", "one and a half", "a little", "nonsense"],
)
def test_data_after_the_response_is_broken(start_server, run_here, more) -> None:
    """It is unknown which request such data answers; the next request gets a new connection."""
    server = start_server(_once(whole() + more, end=Peer.until_closed))
    result = run_here(server.url, 2)
    assert (result.statuses, result.reused) == (["BROKEN", "OK"], [0, 0])
    assert result.records["http_status"].tolist() == [200, 200]
    assert "more than one response" in result.errors[0] or "not HTTP" in result.errors[0]
    assert server.connections == 2


@pytest.mark.parametrize(
    "more", [b"HTTP/1.1 408 Request Timeout\r\n\r\n", b""], ids=["more", "end"]
)
def test_a_read_behind_the_response_closes_the_connection(more) -> None:
    """The read was pending when the response was parsed: the connection is not reused."""
    ours, theirs = socket.socketpair()
    ended: list[InFlightRequest] = []
    with contextlib.closing(EventLoop()) as loop, contextlib.closing(Timers(loop)) as timers:
        target_url = TargetUrl("http://127.0.0.1:1", api_key=None)
        pool = ConnectionPool(target_url, loop, timers, connect_timeout_s=1)
        ours.setblocking(False)
        connection = Connection(ours, pool.receiver, pool, loop)
        codec = ResponseFormat(find_codec(COMPLETIONS, None))
        connection.send(
            InFlightRequest(
                0, 0, b"request", (1, 3, False, -1, -1, 0), codec, 0, None, ended.append
            )
        )
        for part in (whole(), more):
            theirs.send(part) if part else theirs.close()
            connection._reader(READ)
        loop.run_until(lambda: bool(ended))
        theirs.close()
    assert ended[0].status is Status.OK
    assert connection.closed
    assert not pool._idle


def test_stray_data_closes_an_idle_connection_at_once() -> None:
    """So a request sent afterwards cannot be answered by it."""
    ours, theirs = socket.socketpair()
    with contextlib.closing(EventLoop()) as loop, contextlib.closing(Timers(loop)) as timers:
        target_url = TargetUrl("http://127.0.0.1:1", api_key=None)
        pool = ConnectionPool(target_url, loop, timers, connect_timeout_s=1)
        ours.setblocking(False)
        connection = Connection(ours, pool.receiver, pool, loop)
        pool.release(connection)
        theirs.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        loop.poller.poll(0)
        assert connection.closed
        assert not loop.deferred
        theirs.close()


# -- large requests ------------------------------------------------------------------------------

LARGE = "abcdefgh" * 1_000_000


def _large() -> SingleTurn:
    return SingleTurn(Turn(prompt=TextPrompt(LARGE), max_tokens=3))


def test_a_large_request_is_sent_in_parts(start_server, run_here) -> None:
    """It exceeds the socket buffers; the timestamp of its last byte includes the waiting."""
    bodies: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.socket.recv(1, socket.MSG_PEEK)  # The request has begun.
        time.sleep(0.3)
        while (body := peer.request()) is not None:
            bodies.append(body)
            peer.send(whole())

    result = run_here(start_server(script, receive_buffer=65536).url, [_large(), _large()])
    assert (result.statuses, result.reused) == (["OK", "OK"], [0, 1])
    assert [body.count(LARGE.encode()) for body in bodies] == [1, 1]
    took_ns = result.records["sent_last_ns"] - result.records["sent_first_ns"]
    assert took_ns[0] > 100_000_000


def test_an_early_response_closes_the_connection(start_server, run_here) -> None:
    """The rest of the request would be read as the next one."""
    second = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        if peer.number:
            second.set()
        peer.send(whole())
        # The server never reads the rest of the request.
        second.wait(20)

    result = run_here(start_server(script, receive_buffer=65536).url, [_large(), plain_session(1)])
    assert (result.statuses, result.reused, result.retries) == (["OK", "OK"], [0, 0], 0)


def test_an_early_error_response_is_read(start_server, run_here) -> None:
    """The server refuses a too large request without reading it, as HTTP allows."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(whole(b"too large", b"HTTP/1.1 413 Content Too Large\r\n"))

    result = run_here(start_server(script, receive_buffer=65536).url, [_large()])
    assert (result.statuses, result.errors) == (["HTTP"], ("http: HTTP 413: too large",))


# -- the codec -----------------------------------------------------------------------------------

BAD_CODEC = """
from tokenbench.api import CodecSpec
from tokenbench.load.codecs import CompletionsCodec

class Bad(CompletionsCodec):
    def classify(self, event):
        raise LookupError("unheard of")

def bench_register_codecs():
    return [CodecSpec(name="bad", summary="raises", factory=lambda *_: Bad())]
"""


def test_a_codec_error_ends_the_phase(tmp_path, monkeypatch, request, start_server) -> None:
    """The error names it; the same worker can run the next phase."""
    (tmp_path / "bad_codec.py").write_text(BAD_CODEC)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    drive: Any = request.getfixturevalue("drive")  # After PYTHONPATH is set.
    server = start_server(answer_all)
    with pytest.raises(PluginError, match="LookupError: unheard of"):
        drive(server.url, codec="bad", codec_module="bad_codec", stop=Stop(requests=8))
    assert drive(server.url, codec=COMPLETIONS, stop=Stop(requests=8)).turns == 8


def test_undecodable_events_are_broken(start_server, run_here) -> None:
    """Events that are not JSON fail this request only."""
    result = run_here(start_server(_once(whole(b"data: {\n\n"), end=Peer.until_closed)).url, 2)
    assert result.statuses == ["BROKEN", "OK"]
    assert "unreadable response" in result.errors[0]
