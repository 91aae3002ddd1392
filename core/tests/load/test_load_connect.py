"""How connections are made, over TLS and otherwise, with real servers and dead addresses."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tokenbench.api import SingleTurn, Stop, TextPrompt, Turn
from tokenbench.load import timers
from tokenbench.load.connect import ConnectionAttempt
from tokenbench.load.event_loop import EventLoop
from tokenbench.load.poller import Poller
from tokenbench.load.target_url import TargetUrl
from tokenbench.store.records import read_raw

from .peers import Peer, answering, chunked, events, whole

pytestmark = pytest.mark.timeout(60)
# Python's own wrap_socket leaves a socket that was reset this very moment to be collected.
LEFT_OPEN = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> Path:
    """A file with a certificate for 127.0.0.1 that signed itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl command to make a certificate with")
    folder: Path = tmp_path_factory.mktemp("tls")
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        " -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -keyout key -out certificate",
        shell=True,
        cwd=folder,
        check=True,
        capture_output=True,
    )
    both = folder / "both"
    both.write_text((folder / "certificate").read_text() + (folder / "key").read_text())
    return both


@pytest.fixture
def tls(certificate) -> ssl.SSLContext:
    """What a server needs for https."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusted(certificate, monkeypatch) -> None:
    """Makes this process, and those that it starts from now on, trust the certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


# -- TLS -----------------------------------------------------------------------------------------


def test_many_streams_over_tls(tls, trusted, drive, played, tmp_path) -> None:
    """A real worker under load: all OK, no token lost, stamps in order, connections kept."""

    def play(peer: Peer) -> None:
        while peer.request() is not None:
            peer.say(*chunked(events(20)), b"0\r\n\r\n")

    summary = drive(played(play, tls=tls).url, concurrency=32, stop=Stop(requests=200))
    records, chunks = read_raw(tmp_path)
    assert (summary.turns, summary.errors, set(records["status"])) == (200, (), {0})
    assert set(records["n_out"]) == set(records["chunks"]) == {20}
    assert len(chunks) == 4000
    order = ("scheduled_ns", "sent_first_ns", "sent_last_ns", "first_ns", "last_ns", "end_ns")
    for before, after in itertools.pairwise(order):
        assert (records[before] <= records[after]).all()
    assert int((records["reused"] == 0).sum()) == 32


def test_no_byte_stays_inside_tls(tls, trusted, played, here) -> None:
    """A response of many TLS records, written at once on a connection that then stays silent: what
    lay in the TLS layer would not be reported by the poll.
    """
    body = b"".join(events(5000))
    # A comment that fills the last record, which is the one that would be read in part.
    body += b":%b\n\n" % (b" " * (-(len(whole(body)) + 3) % 16384))
    assert len(whole(body)) % 16384 == 0

    def play(peer: Peer) -> None:
        while peer.request() is not None:
            peer.say(whole(body))

    drove = here(played(play, tls=tls).url, 3)
    assert (drove.statuses, drove.reused) == (["OK"] * 3, [0, 1, 1])
    assert drove.records["chunks"].tolist() == [5000] * 3


def test_a_large_request_over_tls_arrives_whole(tls, trusted, played, here) -> None:
    """Where a write could not go on it is repeated, as TLS demands, with the very same bytes."""
    bodies: list[bytes] = []
    text = "abcdefgh" * 1_000_000

    def play(peer: Peer) -> None:
        time.sleep(0.3)
        while (body := peer.request()) is not None:
            bodies.append(body)
            peer.say(whole())

    session = SingleTurn(Turn(prompt=TextPrompt(text), max_tokens=3))
    drove = here(played(play, tls=tls, room=65536).url, [session, session])
    assert (drove.statuses, drove.reused) == (["OK", "OK"], [0, 1])
    assert [body.count(text.encode()) for body in bodies] == [1, 1]


def test_a_certificate_that_nobody_trusts_is_no_connection(tls, played, here, monkeypatch) -> None:
    """The reason says what it was."""
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    drove = here(played(answering, tls=tls).url, 2)
    assert drove.statuses == ["CONNECT", "CONNECT"]
    assert all("certificate" in error for error in drove.errors)


def test_a_server_without_tls_is_no_connection(played, here) -> None:
    """It answers the handshake in plain HTTP, as such servers do."""

    def play(peer: Peer) -> None:
        peer.socket.recv(65536)
        peer.say(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        peer.until_closed()

    drove = here(played(play).url.replace("http:", "https:"), 2)
    assert drove.statuses == ["CONNECT", "CONNECT"]


@pytest.mark.parametrize("end", [lambda _: None, Peer.reset], ids=["closes", "resets"])
@LEFT_OPEN
def test_a_server_that_ends_the_handshake_is_no_connection(played, here, end) -> None:
    """Classified, whenever in the making of the connection it comes."""
    drove = here(played(end).url.replace("http:", "https:"), 100, concurrency=8)
    assert drove.statuses == ["CONNECT"] * 100


@LEFT_OPEN
def test_a_reset_between_tcp_and_tls_is_no_connection() -> None:
    """The moment that the test above meets only now and then."""
    said: list[tuple[object, str]] = []
    with (
        contextlib.closing(EventLoop()) as loop,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        target_url = TargetUrl(f"https://127.0.0.1:{listener.getsockname()[1]}", api_key=None)
        attempt = ConnectionAttempt(
            loop, target_url, lambda made, reason: said.append((made, reason))
        )
        attempt.start()
        Peer(listener.accept()[0], 0).reset()
        attempt._tcp_connected()
    assert said == [(None, "Connection reset by peer")]


def test_a_handshake_without_answer_ends_in_time(played, here) -> None:
    """TCP stands, but nobody speaks TLS."""
    begun = time.monotonic()
    url = played(Peer.until_closed).url.replace("http:", "https:")
    drove = here(url, 2, connect_timeout_s=0.2)
    assert drove.statuses == ["CONNECT", "CONNECT"]
    assert "no answer within 0.2 s" in drove.errors[0]
    assert time.monotonic() - begun < 10


# -- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        (socket.AF_INET6, "::1"),
        # As AF_INET6 itself is where the kernel was built or started without it.
        (socket.AF_INET + 200, "nowhere"),
    ],
    ids=["nobody listens", "no such family"],
)
def test_the_next_address_is_tried(played, here, monkeypatch, first) -> None:
    """A name stands for several addresses, and the server listens on one of them."""
    server = played(answering)
    family, host = first
    found = [
        (family, socket.SOCK_STREAM, 0, "", (host, server.port)),
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", server.port)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    drove = here(f"http://two.test:{server.port}", 2)
    assert (drove.statuses, drove.reused) == (["OK", "OK"], [0, 1])


@pytest.fixture
def full() -> Iterator[int]:
    """The port of a server that accepts nobody and whose queue is full."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as listener,
        contextlib.ExitStack() as stack,
    ):
        port = listener.getsockname()[1]
        for _ in range(16):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield port


def test_a_connection_that_is_not_accepted_ends_in_time(full, here) -> None:
    """Classified, with the limit in the reason."""
    begun = time.monotonic()
    drove = here(f"http://127.0.0.1:{full}", 3, connect_timeout_s=0.2)
    assert drove.statuses == ["CONNECT"] * 3
    assert all("no answer within 0.2 s" in error for error in drove.errors)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("system", ["linux", "elsewhere"])
def test_a_phase_ends_where_every_request_fails_at_once(here, monkeypatch, system) -> None:
    """A name that is not found: the time limit holds all the same, without timerfd too."""
    monkeypatch.setattr(timers.sys, "platform", system)

    asked = []

    def nothing_found(*args: object, **__: object) -> None:
        asked.append(args)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nothing_found)
    drove = here(
        "http://nowhere.test",
        40_000,
        concurrency=4,
        stop=Stop(duration_s=0.2),
        loop=EventLoop(Poller()) if system == "elsewhere" else None,
    )
    assert drove.summary.stopped_by == "duration"
    assert set(drove.statuses) == {"CONNECT"}
    assert "Name or service not known" in drove.errors[0]
    # Once: a look-up waits, and all streams with it.
    assert len(asked) == 1
