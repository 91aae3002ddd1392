"""Control calls to a real HTTP server: responses, time limits, and the secrecy of the API key."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tokenbench.api import Endpoint, UsageError
from tokenbench.launch.control import ControlClient
from tokenbench.launch.ports import free_port

_KEY = "sk-hush-1234"


class _Handler(BaseHTTPRequestHandler):
    """Echoes the request; ``/drip`` responds without end, ``/junk`` is not HTTP."""

    def do_GET(self) -> None:
        if self.path == "/junk":
            self.wfile.write(b"hello\r\n")
        elif self.path == "/drip":
            self._drip()
        else:
            self._echo(None)

    def do_POST(self) -> None:
        self._echo(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _echo(self, body: Any) -> None:
        request = {"path": self.path, "key": self.headers["Authorization"], "body": body}
        data = json.dumps(request).encode()
        self.send_response(404 if self.path == "/nope" else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        try:
            for _ in range(100):
                self.wfile.write(b"x")
                time.sleep(0.1)
        except OSError:
            pass

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server in this process."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def _client(*urls: str, **more: Any) -> ControlClient:
    endpoints = tuple(Endpoint(role="server", index=i, url=u) for i, u in enumerate(urls))
    return ControlClient(endpoints, **more)


@pytest.mark.covers("ServerClient.get", "ServerClient.post")
def test_responses(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status and text of the requested endpoint, without a proxy; reopens after `close`."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    client = _client("http://127.0.0.1:9", url + "/")
    assert json.loads(client.get("/a", endpoint=1).text)["path"] == "/a"
    assert json.loads(client.post("/b", {"n": 1}, endpoint=1).text)["body"] == {"n": 1}
    assert client.get("/nope", endpoint=1).status == 404
    client.close()
    client.close()
    assert client.get("/a", endpoint=1).status == 200
    client.close()


@pytest.mark.covers("ServerClient.get")
def test_no_response_is_a_connection_error(url: str) -> None:
    """No server, or one that does not speak HTTP."""
    client = _client(f"http://127.0.0.1:{free_port()}", url)
    with pytest.raises(ConnectionError, match=r"no response from http://127\.0\.0\.1"):
        client.get("/")
    with pytest.raises(ConnectionError, match="connection closed: by server"):
        client.get("/junk", endpoint=1)
    client.close()


def test_timeout_of_an_endless_response(url: str) -> None:
    """Each single read is fast enough."""
    client = _client(url, timeout_s=0.5)
    begun = time.monotonic()
    with pytest.raises(ConnectionError, match="ReadTimeout"):
        client.get("/drip")
    assert time.monotonic() - begun < 3
    client.close()


def test_key_is_sent_and_never_shown(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in repr, errors or logs of any level."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("TOKENBENCH_TEST_KEY", _KEY)
    client = _client(url, f"http://127.0.0.1:{free_port()}", api_key_env="TOKENBENCH_TEST_KEY")
    assert json.loads(client.get("/").text)["key"] == f"Bearer {_KEY}"
    with pytest.raises(ConnectionError) as caught:
        client.get("/", endpoint=1)
    client.close()
    for shown in (repr(client), str(caught.value), repr(caught.value), caplog.text):
        assert _KEY not in shown
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


@pytest.mark.parametrize("key", [f"{_KEY}\n", f"{_KEY}é"])
def test_key_that_is_invalid_in_a_header(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A usage error that does not show the key."""
    monkeypatch.setenv("TOKENBENCH_TEST_KEY", key)
    with pytest.raises(UsageError, match="variable TOKENBENCH_TEST_KEY") as caught:
        _client("http://127.0.0.1:9", api_key_env="TOKENBENCH_TEST_KEY").get("/")
    assert _KEY not in caught.value.message + caught.value.hint


def test_password_in_a_url_is_not_shown() -> None:
    """Errors show the URL without it."""
    client = _client(f"http://user:hush@127.0.0.1:{free_port()}/v1")
    with pytest.raises(ConnectionError, match=r"http://127\.0\.0\.1:\d+/v1/models") as caught:
        client.get("/models")
    assert "hush" not in str(caught.value)
    client.close()
