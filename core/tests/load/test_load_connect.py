"""Connecting: TLS, several addresses, timeouts, against real servers and dead addresses."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tokenbench.api import SingleTurn, Stop, TextPrompt, Turn
from tokenbench.launch.ports import free_port
from tokenbench.load import timers
from tokenbench.load.connect import ConnectionAttempt
from tokenbench.load.event_loop import EventLoop
from tokenbench.load.poller import Poller
from tokenbench.load.target_url import TargetUrl
from tokenbench.store.records import read_raw

from .peers import Peer, answer_all, chunked, events, whole

pytestmark = pytest.mark.timeout(60)
# Python's wrap_socket does not close a socket that has just been reset.
LEFT_OPEN = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> Path:
    """A file with a self-signed certificate for 127.0.0.1 and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command")
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
    """The TLS context of a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusted(certificate, monkeypatch) -> None:
    """Make this process, and those it starts, trust the certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


# -- TLS -----------------------------------------------------------------------------------------


def test_load_over_tls(tls, trusted, drive, start_server, tmp_path) -> None:
    """A load worker over TLS: all requests OK, no token lost, ordered timestamps, keep-alive."""

    def script(peer: Peer) -> None:
        while peer.request() is not None:
            peer.send(*chunked(events(20)), b"0\r\n\r\n")

    summary = drive(start_server(script, tls=tls).url, concurrency=32, stop=Stop(requests=200))
    records, chunks = read_raw(tmp_path)
    assert (summary.turns, summary.errors, set(records["status"])) == (200, (), {0})
    assert set(records["n_out"]) == set(records["chunks"]) == {20}
    assert len(chunks) == 4000
    order = ("scheduled_ns", "sent_first_ns", "sent_last_ns", "first_ns", "last_ns", "end_ns")
    for before, after in itertools.pairwise(order):
        assert (records[before] <= records[after]).all()
    assert int((records["reused"] == 0).sum()) == 32


def test_no_data_stays_in_the_tls_layer(tls, trusted, start_server, run_here) -> None:
    """A response of many TLS records: no poll would report a rest in the TLS layer."""
    body = b"".join(events(5000))
    # A comment fills the last record, so that a partial read of it would be noticed.
    body += b":%b\n\n" % (b" " * (-(len(whole(body)) + 3) % 16384))
    assert len(whole(body)) % 16384 == 0

    def script(peer: Peer) -> None:
        while peer.request() is not None:
            peer.send(whole(body))

    result = run_here(start_server(script, tls=tls).url, 3)
    assert (result.statuses, result.reused) == (["OK"] * 3, [0, 1, 1])
    assert result.records["chunks"].tolist() == [5000] * 3


def test_a_large_request_over_tls(tls, trusted, start_server, run_here) -> None:
    """TLS requires that an interrupted write is repeated with the same bytes."""
    bodies: list[bytes] = []
    text = "abcdefgh" * 1_000_000

    def script(peer: Peer) -> None:
        time.sleep(0.3)
        while (body := peer.request()) is not None:
            bodies.append(body)
            peer.send(whole())

    session = SingleTurn(Turn(prompt=TextPrompt(text), max_tokens=3))
    result = run_here(start_server(script, tls=tls, receive_buffer=65536).url, [session, session])
    assert (result.statuses, result.reused) == (["OK", "OK"], [0, 1])
    assert [body.count(text.encode()) for body in bodies] == [1, 1]


def test_an_untrusted_certificate_is_a_connect_error(
    tls, start_server, run_here, monkeypatch
) -> None:
    """The error names the certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    result = run_here(start_server(answer_all, tls=tls).url, 2)
    assert result.statuses == ["CONNECT", "CONNECT"]
    assert result.errors and all("certificate" in error for error in result.errors)


def test_a_server_without_tls_is_a_connect_error(start_server, run_here) -> None:
    """Such servers answer the handshake with plain HTTP."""

    def script(peer: Peer) -> None:
        peer.socket.recv(65536)
        peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        peer.until_closed()

    result = run_here(start_server(script).url.replace("http:", "https:"), 2)
    assert result.statuses == ["CONNECT", "CONNECT"]


@pytest.mark.parametrize("end", [lambda _: None, Peer.reset], ids=["closes", "resets"])
@LEFT_OPEN
def test_a_failed_handshake_is_a_connect_error(start_server, run_here, end) -> None:
    """Whenever the server closes or resets the connection."""
    result = run_here(start_server(end).url.replace("http:", "https:"), 24, concurrency=8)
    assert result.statuses == ["CONNECT"] * 24


@LEFT_OPEN
def test_a_reset_between_tcp_and_tls_is_a_connect_error() -> None:
    """The moment that the test above hits only by chance."""
    results: list[tuple[object, str]] = []
    with (
        contextlib.closing(EventLoop()) as loop,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        target_url = TargetUrl(f"https://127.0.0.1:{listener.getsockname()[1]}", api_key=None)
        attempt = ConnectionAttempt(
            loop, target_url, lambda sock, reason: results.append((sock, reason))
        )
        attempt.start()
        Peer(listener.accept()[0], 0).reset()
        attempt._tcp_connected()
    assert results == [(None, "Connection reset by peer")]


def test_the_connect_timeout_covers_the_handshake(start_server, run_here) -> None:
    """TCP is connected, but the server does not answer the handshake."""
    begun = time.monotonic()
    url = start_server(Peer.until_closed).url.replace("http:", "https:")
    result = run_here(url, 2, connect_timeout_s=0.2)
    assert result.statuses == ["CONNECT", "CONNECT"]
    assert "no answer within 0.2 s" in result.errors[0]
    assert time.monotonic() - begun < 10


# -- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        (socket.AF_INET6, "::1"),
        # Like AF_INET6 on a kernel without IPv6.
        (socket.AF_INET + 200, "nowhere"),
    ],
    ids=["connection refused", "no such family"],
)
def test_all_addresses_are_tried(start_server, run_here, monkeypatch, first) -> None:
    """A host name has several addresses, and the server listens on one of them."""
    server = start_server(answer_all)
    family, host = first
    found = [
        (family, socket.SOCK_STREAM, 0, "", (host, server.port)),
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", server.port)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    result = run_here(f"http://two.test:{server.port}", 2)
    assert (result.statuses, result.reused) == (["OK", "OK"], [0, 1])


@pytest.fixture
def full() -> Iterator[int]:
    """The port of a server with a full accept queue."""
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


def test_the_connect_timeout_covers_tcp(full, run_here) -> None:
    """A server that accepts no connection: the error has the timeout."""
    begun = time.monotonic()
    result = run_here(f"http://127.0.0.1:{full}", 3, connect_timeout_s=0.2)
    assert result.statuses == ["CONNECT"] * 3
    assert result.errors and all("no answer within 0.2 s" in error for error in result.errors)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("system", ["linux", "elsewhere"])
def test_a_phase_of_failing_requests_ends_in_time(run_here, monkeypatch, system) -> None:
    """The host name is unknown, so each request fails at once."""
    monkeypatch.setattr(timers.sys, "platform", system)

    lookups = []

    def nothing_found(*args: object, **__: object) -> None:
        lookups.append(args)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nothing_found)
    result = run_here(
        "http://nowhere.test",
        40_000,
        concurrency=4,
        stop=Stop(duration_s=0.2),
        loop=EventLoop(Poller()) if system == "elsewhere" else None,
    )
    assert result.summary.stopped_by == "duration"
    assert set(result.statuses) == {"CONNECT"}
    assert "Name or service not known" in result.errors[0]
    # Only once: a lookup blocks all connections.
    assert len(lookups) == 1


# -- servers that only fail ----------------------------------------------------------------------


def test_a_dead_server_is_not_flooded_with_connects(run_here) -> None:
    """Each refused connect makes its request wait longer; after a while the phase ends."""
    url = f"http://127.0.0.1:{free_port()}"
    result = run_here(url, 5000, concurrency=8, stop=Stop(duration_s=60))
    assert result.summary.stopped_by == "failing"
    assert result.summary.ended_ns - result.summary.started_ns < 30e9
    # After 10, 20, 40, ... ms: nine refusals in turn within 3 s, and those in progress at the end.
    assert result.summary.turns == result.summary.failed <= 8 * 12
    assert result.errors[0] == "connect: cannot connect: Connection refused"


def test_a_server_that_only_fails_ends_the_phase(start_server, run_here) -> None:
    """Answers come at once, so without the rule there would be thousands; the last is kept."""

    def script(peer: Peer) -> None:
        while peer.request() is not None:
            time.sleep(0.02)
            peer.send(whole(b"quota", b"HTTP/1.1 429 Too Many Requests\r\n"))

    result = run_here(start_server(script).url, 5000, concurrency=2, stop=Stop(duration_s=60))
    assert (result.summary.stopped_by, result.summary.failed) == ("failing", result.summary.turns)
    assert result.summary.ended_ns - result.summary.started_ns < 30e9
    assert result.errors[0] == result.errors[-1] == "rate_limited: HTTP 429: quota"


def test_a_server_that_serves_some_goes_on(start_server, run_here) -> None:
    """One connection gets tokens slowly and all others are refused at once: not a dead server."""
    served = threading.Event()

    def script(peer: Peer) -> None:
        while peer.request() is not None:
            if not served.is_set():
                served.set()
                time.sleep(3.6)
                peer.send(whole())
            else:
                time.sleep(0.02)
                peer.send(whole(b"full", b"HTTP/1.1 503 Busy\r\n"))

    result = run_here(start_server(script).url, 5000, concurrency=4, stop=Stop(duration_s=4.0))
    assert result.summary.stopped_by == "duration"
    assert result.statuses.count("OK") == 1
