"""What a connection makes of real sockets: ends, breaks, and bytes that nobody asked for."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tokenbench.api import (
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
from tokenbench.load.request_state import InFlightRequest
from tokenbench.load.target_url import TargetUrl
from tokenbench.load.timers import Timers

from .conftest import plain_session
from .peers import OK, Peer, answering, chunked, events, whole

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("each_path")]
BODY = b"".join(events())


def _once(*parts: bytes, end: Callable[[Peer], None] = lambda _: None) -> Callable[[Peer], None]:
    """A script that answers the first request like this, then ends the connection so; what comes
    on other connections is answered well.
    """

    def play(peer: Peer) -> None:
        if peer.number:
            answering(peer)
        elif peer.request() is not None:
            peer.say(*parts)
            end(peer)

    return play


# -- how a response ends -------------------------------------------------------------------------


def test_a_body_without_length_ends_with_the_connection(played, here) -> None:
    """HTTP/1.0's way, still valid: OK, every token counted."""
    server = played(_once(OK + b"\r\n", *events()))
    drove = here(server.url)
    assert drove.statuses == ["OK"]
    assert drove.records["n_out"].tolist() == drove.records["chunks"].tolist() == [3]


@pytest.mark.parametrize(
    "parts",
    [[whole()[:-20]], chunked(events()), chunked(events())[:3], [OK[:-6]], [b"HTTP/1.1 200"]],
    ids=["length", "no last chunk", "chunks", "head", "first line"],
)
def test_a_framed_response_that_was_cut_is_broken(played, here, parts) -> None:
    """Its head says that more was to come, or is itself cut."""
    drove = here(played(_once(*parts)).url)
    assert drove.statuses == ["BROKEN"]
    assert drove.errors == ("broken: connection closed: by server",)


def test_a_head_that_came_in_pieces_frames_too(played, here) -> None:
    """The length stood in the first of them."""

    def play(peer: Peer) -> None:
        assert peer.request() is not None
        for part in (OK + b"Content-Length: 9999\r\nX-", b"Y: z\r\n\r\n" + BODY):
            peer.say(part)
            time.sleep(0.1)

    assert here(played(play).url).statuses == ["BROKEN"]


@pytest.mark.parametrize(
    "interim",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
        # Of the interim answer, not of the real one.
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 7\r\n\r\n",
    ],
    ids=["100", "two", "with length"],
)
@pytest.mark.parametrize("together", [True, False], ids=["one read", "two reads"])
def test_interim_answers_are_passed_over(played, here, interim, together) -> None:
    """The status is the real answer's, and so is the way its body ends."""
    real = OK + b"\r\n" + BODY
    parts = [interim + real] if together else [interim, real]
    drove = here(played(_once(*parts)).url)
    assert (drove.statuses, drove.records["http_status"].tolist()) == (["OK"], [200])


def test_a_server_that_switches_protocols_is_broken(played, here) -> None:
    """101 was not asked for: the request fails, and the phase goes on."""
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    drove = here(played(_once(switch, end=Peer.until_closed)).url, 2)
    assert drove.statuses == ["BROKEN", "OK"]
    assert "not HTTP" in drove.errors[0]


def test_a_reset_in_mid_stream_is_broken(played, here) -> None:
    """Even where the end of the connection would have been the end of the body."""
    drove = here(played(_once(OK + b"\r\n", *events()[:2], end=Peer.reset)).url)
    assert drove.statuses == ["BROKEN"]
    assert "reset by peer" in drove.errors[0]


def test_what_is_not_http_is_broken(played, here) -> None:
    """It is said that it was not HTTP; the connection is not used again."""
    server = played(_once(b"SSH-2.0-server\r\n", end=Peer.until_closed))
    drove = here(server.url, 2)
    assert drove.statuses == ["BROKEN", "OK"]
    assert "not HTTP" in drove.errors[0]
    assert server.connections == 2


@pytest.mark.parametrize("framed", [True, False], ids=["length", "to the end"])
def test_of_a_long_error_500_bytes_are_kept(played, here, framed) -> None:
    """What the server says of itself is shown, but never a whole page of it."""
    head, page = b"HTTP/1.1 500 Internal Server Error\r\n", b"no" * 100_000
    drove = here(played(_once(whole(page, head) if framed else head + b"\r\n" + page)).url)
    assert drove.statuses == ["HTTP"]
    assert drove.errors == ("http: HTTP 500: " + "no" * 250,)


# -- connections that are used again -------------------------------------------------------------

FIRST_ENDED = threading.Event()


class Pause(Session):
    """Two turns with half a second in between; tells the server (a thread of this process) when
    the first has ended.
    """

    def next(self, previous: TurnResult | None) -> Turn | None:
        """The first, and after it the second."""
        if previous is None:
            FIRST_ENDED.clear()
        elif previous.number == 0:
            FIRST_ENDED.set()
            return Turn(prompt=TextPrompt("second"), max_tokens=3, delay_s=0.5)
        else:
            return None
        return Turn(prompt=TextPrompt("first"), max_tokens=3)


@pytest.mark.parametrize("end", [lambda _: None, Peer.reset], ids=["closed", "reset"])
def test_a_connection_closed_while_idle_is_not_used(played, here, end) -> None:
    """The client noticed in time: nothing had to be sent again."""

    def after_a_while(peer: Peer) -> None:
        assert FIRST_ENDED.wait(20)
        end(peer)

    drove = here(played(_once(whole(), end=after_a_while)).url, [Pause()])
    assert (drove.statuses, drove.reused, drove.retries) == (["OK", "OK"], [0, 0], 0)


@pytest.mark.parametrize("stray", [b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"\0"])
def test_bytes_on_an_idle_connection_close_it(played, here, stray) -> None:
    """Nobody asked for them; the next answer must not begin with them."""

    def after_a_while(peer: Peer) -> None:
        assert FIRST_ENDED.wait(20)
        peer.say(stray)
        peer.until_closed()

    server = played(_once(whole(), end=after_a_while))
    drove = here(server.url, [Pause()])
    assert (drove.statuses, drove.reused) == (["OK", "OK"], [0, 0])
    assert server.connections == 2


@pytest.mark.parametrize("end", [lambda _: None, Peer.reset], ids=["closed", "reset"])
def test_a_request_that_an_idle_time_out_swallowed_is_sent_again(played, here, end) -> None:
    """The server closed just when it came: sent once more, on a new connection, and counted."""

    def play(peer: Peer) -> None:
        assert peer.request() is not None
        peer.say(whole())
        if peer.number:
            answering(peer)
        elif peer.request() is not None:
            end(peer)

    server = played(play)
    drove = here(server.url, 3)
    assert (drove.statuses, drove.reused, drove.retries) == (["OK"] * 3, [0, 0, 1], 1)
    assert server.connections == 2
    assert (drove.records["sent_first_ns"] >= drove.records["scheduled_ns"]).all()


def test_a_large_request_that_was_swallowed_is_sent_again(played, here) -> None:
    """The connection breaks while it is written: the whole of it goes over a new one."""
    bodies: list[bytes | None] = []

    def play(peer: Peer) -> None:
        while (peer.number or not bodies) and (body := peer.request()) is not None:
            bodies.append(body)
            peer.say(whole())
        peer.head()

    drove = here(played(play, room=65536).url, [plain_session(1), _large()])
    assert (drove.statuses, drove.reused, drove.retries) == (["OK", "OK"], [0, 0], 1)
    assert LARGE.encode() in (bodies[1] or b"")


def test_a_request_that_was_begun_to_be_answered_is_not_sent_again(played, here) -> None:
    """The server has worked on it: it is broken, however old the connection."""
    asked: list[bytes | None] = []

    def play(peer: Peer) -> None:
        while (body := peer.request()) is not None:
            asked.append(body)
            if len(asked) == 2:
                peer.say(b"H")
                return
            peer.say(whole())

    drove = here(played(play).url, 3)
    assert (drove.statuses, drove.reused) == (["OK", "BROKEN", "OK"], [0, 1, 0])
    assert (len(asked), drove.retries) == (3, 0)


def test_a_connection_that_is_to_be_closed_is_forgotten(played, here, monkeypatch) -> None:
    """A server without keep-alive: each request connects, and memory does not grow with them."""
    kept: list[int] = []
    close = ConnectionPool.close
    monkeypatch.setattr(
        ConnectionPool, "close", lambda pool: (kept.append(len(pool._all)), close(pool))
    )
    drove = here(played(_closing).url, 20)
    assert (drove.statuses, drove.reused) == (["OK"] * 20, [0] * 20)
    assert kept == [0]


def _closing(peer: Peer) -> None:
    if peer.request() is not None:
        peer.say(whole(head=OK + b"Connection: close\r\n"))
        peer.until_closed()


# -- more than was asked for ---------------------------------------------------------------------


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
def test_more_than_was_asked_for_is_broken(played, here, more) -> None:
    """Nobody knows what such a server answers to what; the next request has another connection."""
    server = played(_once(whole() + more, end=Peer.until_closed))
    drove = here(server.url, 2)
    assert (drove.statuses, drove.reused) == (["BROKEN", "OK"], [0, 0])
    assert drove.records["http_status"].tolist() == [200, 200]
    assert "more than one response" in drove.errors[0] or "not HTTP" in drove.errors[0]
    assert server.connections == 2


@pytest.mark.parametrize(
    "more", [b"HTTP/1.1 408 Request Timeout\r\n\r\n", b""], ids=["more", "end"]
)
def test_what_was_read_behind_a_response_is_not_the_next_one(more) -> None:
    """It came in a read of its own, before the response itself was looked at: the connection is
    not given to another request.
    """
    ours, theirs = socket.socketpair()
    ended: list[InFlightRequest] = []
    with contextlib.closing(EventLoop()) as loop, contextlib.closing(Timers(loop)) as timers:
        target_url = TargetUrl("http://127.0.0.1:1", api_key=None)
        pool = ConnectionPool(target_url, loop, timers, connect_timeout_s=1)
        ours.setblocking(False)
        connection = Connection(ours, pool.receiver, pool, loop)
        codec = find_codec(COMPLETIONS, None)
        connection.send(
            InFlightRequest(0, 0, b"request", (1, 3, False), codec, 0, None, ended.append)
        )
        for part in (whole(), more):
            theirs.send(part) if part else theirs.close()
            connection._reader(READ)
        loop.run_until(lambda: bool(ended))
        theirs.close()
    assert ended[0].status is Status.OK
    assert connection.closed
    assert not pool._idle


def test_a_request_sent_before_a_stray_read_was_looked_at_is_not_answered_by_it() -> None:
    """The connection is closed the moment the stray bytes are read."""
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


def test_a_large_request_arrives_whole(played, here) -> None:
    """Larger than the buffers of both sockets: written on as the server reads, which takes its
    time; the last byte's stamp says so.
    """
    bodies: list[bytes] = []

    def play(peer: Peer) -> None:
        time.sleep(0.3)
        while (body := peer.request()) is not None:
            bodies.append(body)
            peer.say(whole())

    drove = here(played(play, room=65536).url, [_large(), _large()])
    assert (drove.statuses, drove.reused) == (["OK", "OK"], [0, 1])
    assert [body.count(LARGE.encode()) for body in bodies] == [1, 1]
    took_ns = drove.records["sent_last_ns"] - drove.records["sent_first_ns"]
    assert took_ns[0] > 100_000_000


def test_an_answer_before_the_request_was_read_frees_no_connection(played, here) -> None:
    """The rest of the request would begin the next one."""
    second = threading.Event()

    def play(peer: Peer) -> None:
        peer.head()
        if peer.number:
            second.set()
        peer.say(whole())
        # Never reads on: the rest cannot be sent.
        second.wait(20)

    drove = here(played(play, room=65536).url, [_large(), plain_session(1)])
    assert (drove.statuses, drove.reused, drove.retries) == (["OK", "OK"], [0, 0], 0)


def test_what_a_server_said_before_it_hung_up_is_heard(played, here) -> None:
    """It refuses a request that is too large without reading it, as the standard allows."""

    def play(peer: Peer) -> None:
        peer.head()
        peer.say(whole(b"too large", b"HTTP/1.1 413 Content Too Large\r\n"))

    drove = here(played(play, room=65536).url, [_large()])
    assert (drove.statuses, drove.errors) == (["HTTP"], ("http: HTTP 413: too large",))


# -- the codec -----------------------------------------------------------------------------------

BAD_CODEC = """
from tokenbench.api import CodecSpec
from tokenbench.load.codecs import CompletionsCodec

class Bad(CompletionsCodec):
    def classify(self, event):
        raise LookupError("unheard of")

def bench_register_codecs():
    return [CodecSpec(name="bad", summary="raises", factory=Bad)]
"""


def test_a_codec_that_fails_ends_the_phase(tmp_path, monkeypatch, request, played) -> None:
    """With its error named, instead of hanging; the same worker then runs another phase."""
    (tmp_path / "bad_codec.py").write_text(BAD_CODEC)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    drive: Any = request.getfixturevalue("drive")  # Its process must see the path.
    server = played(answering)
    with pytest.raises(PluginError, match="LookupError: unheard of"):
        drive(server.url, codec="bad", codec_module="bad_codec", stop=Stop(requests=8))
    assert drive(server.url, codec=COMPLETIONS, stop=Stop(requests=8)).turns == 8


def test_what_no_codec_can_read_is_broken(played, here) -> None:
    """Events that are not JSON: the server's fault, this request's only."""
    drove = here(played(_once(whole(b"data: {\n\n"), end=Peer.until_closed)).url, 2)
    assert drove.statuses == ["BROKEN", "OK"]
    assert "unreadable response" in drove.errors[0]
