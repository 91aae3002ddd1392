"""Failures become messages and hints: by their text, and by trying real sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tokenbench.api import Endpoint, EngineError, MeasurementInvalid
from tokenbench.launch.control import ControlClient
from tokenbench.launch.failure import Cause, explain, server_words
from tokenbench.launch.http_failure import check_scheme
from tokenbench.launch.ports import free_port

URL = "http://host:8000"
CERTIFICATE = "cannot connect: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "


@pytest.mark.parametrize(
    ("failure", "cause", "message", "hint"),
    [
        (
            "cannot connect: Connection refused",
            "refused",
            "nothing listens at http://host",
            "start",
        ),
        ("cannot connect: no answer within 10 s", "silent", "no answer within 10 s", "firewall"),
        ("cannot connect: No route to host", "unreachable", "No route to host", "network"),
        ("cannot resolve gpu7: Name not known", "unknown_host", "gpu7: Name not known", "DNS"),
        (
            f"{CERTIFICATE}self-signed certificate (_ssl.c:1)",
            "certificate",
            "self-",
            "SSL_CERT_FILE",
        ),
        (f"{CERTIFICATE}certificate has expired (_ssl.c:1)", "certificate", "has expired", "clock"),
        (f"{CERTIFICATE}Hostname mismatch (_ssl.c:1)", "certificate", "another host", "host name"),
        ("cannot connect: [SSL: WRONG_VERSION_NUMBER] x", "speaks_http", "http, not", "http://"),
        ("HTTP 400: Client sent an HTTP request to an HTTPS server.", "speaks_tls", "", "https://"),
        ("HTTP 301: to https://other/v1", "redirect", "to https://other/v1", "use the new address"),
        ("compressed response (br)", "compressed", "compresses its responses (br)", "proxy"),
        ("HTTP 401: no key", "key", "HTTP 401: no key", "api_key_env"),
        ("HTTP 403: no", "forbidden", "HTTP 403: no", "permissions"),
        ("HTTP 429: slow down", "rate_limit", "slow down", "lower load"),
        ("HTTP 429: You exceeded your current quota", "rate_limit", "account", "quota"),
        ("HTTP 404: page not found", "path", "does not exist on the server", "address"),
        ("HTTP 405: Method Not Allowed", "path", "does not exist on the server", "address"),
        ("HTTP 404: The model `a` does not exist.", "model", "does not serve this model", "name"),
        ("HTTP 404: model 'a' not found", "model", "does not serve this model", "name"),
        ('HTTP 404: model "a" not found, try pulling it first', "model", "", "/v1/models"),
        ("HTTP 404: Model not found: a", "model", "", "/v1/models"),
        ("HTTP 400: Invalid model name passed in model=a", "model", "", "/v1/models"),
        ("HTTP 400: This model's maximum context length is 9 tokens.", "context", "", "shorter"),
        (
            "HTTP 400: The input (50 tokens) is longer than the model's context length (9 tokens).",
            "context",
            "50 tokens",
            "shorter",
        ),
        (
            "HTTP 400: request (50 tokens) exceeds the available context size (9 tokens), try it",
            "context",
            "50 tokens",
            "shorter",
        ),
        (
            "HTTP 400: The prompt (length 50) is longer than the maximum model length of 9.",
            "context",
            "length 50",
            "shorter",
        ),
        ("HTTP 422: `inputs` tokens + `max_new_tokens` must be <= 9", "context", "<= 9", "shorter"),
        ("HTTP 400: Unsupported parameter: 'seed'", "rejected", "'seed'", "options"),
        ("HTTP 500: CUDA out of memory", "server_error", "CUDA out of memory", "log"),
        ("HTTP 503: loading", "unavailable", "loading", "loading"),
        ("connection closed: by server", "closed", "before its response is complete", "log"),
        ("not HTTP: Expected HTTP/", "not_http", "is not HTTP", "port"),
        ("the response has no token", "answer", "the response has no token", "log"),
    ],
)
def test_each_failure_has_its_message_and_hint(
    failure: str, cause: str, message: str, hint: str
) -> None:
    """The server's words are in the message, what to do in the hint."""
    found = explain(failure, URL)
    assert found.cause == cause, found
    assert message in found.message and hint in found.hint, found


def test_a_key_that_was_sent_is_named() -> None:
    """Without one, the hint says how to give one."""
    assert "MY_KEY" in explain("HTTP 401: no", URL, key_variable="MY_KEY").hint
    assert "api_key_env" in explain("HTTP 401: no", URL).hint


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ("HTTP 400: context length", MeasurementInvalid),
        ("HTTP 429: slow", MeasurementInvalid),
        ("HTTP 500: boom", EngineError),
        ("cannot connect: Connection refused", EngineError),
        ("connection closed: by server", EngineError),
    ],
)
def test_what_the_server_rejects_is_no_fault_of_the_engine(failure: str, kind: type) -> None:
    """Exit code 6 for rejected requests, 5 for a server that fails."""
    error = explain(failure, URL).error("all failed: ")
    assert type(error) is kind and error.message.startswith("all failed: ")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "too long", "code": 400}}', "too long"),
        (b'{"error": {"message": "too long", "code": "bad"}}', "too long"),
        (
            b'{"message": "too long", "code": "context_length_exceeded"}',
            "(context_length_exceeded)",
        ),
        (b'{"object": "error", "message": "no such model"}', "no such model"),
        (b'{"detail": [{"loc": ["body"], "msg": "Field required"}]}', "Field required"),
        (b'{"error": "model not loaded"}', "model not loaded"),
        (b"<html><head><title>502 Bad Gateway</title></head>nginx</html>", "502 Bad Gateway"),
        (b"404 page\nnot found\x1b[0m", "404 page not found [0m"),
        (b'{"status": 7}', '{"status": 7}'),
        (b"{}", ""),
        (b"", ""),
        (b"\xff" * 2, "��"),
    ],
)
def test_server_words(body: bytes, words: str) -> None:
    """The message inside an error of any common form, without control characters."""
    assert server_words(body).endswith(words)


def test_long_words_are_shortened() -> None:
    """A page of text does not fill the screen."""
    assert len(server_words("word " * 1000)) == 300


@contextlib.contextmanager
def _peer(answer: bytes) -> Iterator[int]:
    """A server that sends `answer` to whatever it reads; gives its port."""
    ended = threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while not ended.is_set():
                peer, _ = listener.accept()
                with peer:
                    peer.settimeout(5)
                    peer.recv(65536)
                    peer.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)


def _failure_of(url: str) -> str:
    client = ControlClient((Endpoint(url=url, role="server", index=0),), timeout_s=1.0)
    with contextlib.suppress(ConnectionError):
        client.get("/v1/models")
    client.close()
    assert client.last_failure is not None and client.last_failure[0] == "/v1/models"
    return client.last_failure[1]


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"", Cause.CLOSED),
        (b"SSH-2.0-server\r\n\r\n", Cause.NOT_HTTP),
        (b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", Cause.REDIRECT),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}", Cause.UNAVAILABLE),
    ],
)
def test_control_calls_keep_their_failure(answer: bytes, cause: Cause) -> None:
    """Status and words, or what happened to the connection."""
    with _peer(answer) as port:
        assert explain(_failure_of(f"http://127.0.0.1:{port}"), URL).cause is cause


def test_connections_that_fail() -> None:
    """Refused, or to a host without an address."""
    assert explain(_failure_of(f"http://127.0.0.1:{free_port()}"), URL).cause is Cause.REFUSED
    assert explain(_failure_of("http://no-such-host.invalid"), URL).cause is Cause.UNKNOWN_HOST


@pytest.mark.parametrize("silent", [False, True])
def test_https_to_an_http_port(silent: bool) -> None:
    """A server may answer the handshake with HTTP, or wait for the rest of a request line."""
    handshake = threading.Event()

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                with peer:
                    peer.settimeout(5)
                    if not peer.recv(65536).startswith(b"GET"):
                        handshake.set()
                        if silent:
                            peer.recv(65536)
                            continue
                    peer.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        found = explain(check_scheme(_failure_of(url), url), url)
        listener.shutdown(socket.SHUT_RDWR)
    assert handshake.is_set() and found.cause is Cause.SPEAKS_HTTP


def test_a_closed_connection_is_not_taken_for_tls() -> None:
    """Only a port that answers a TLS handshake speaks TLS."""
    with _peer(b"") as port:
        url = f"http://127.0.0.1:{port}"
        assert check_scheme("connection closed: by server", url) == "connection closed: by server"
