"""A hosted API and a proxy on real sockets, in this process: strict servers, with limits."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

KNOWN = {"model", "messages", "prompt", "stream", "temperature", "max_tokens", "stream_options"}
LIMITS = {"Retry-After": "7", "X-RateLimit-Limit-Requests": "60", "X-Unrelated": "no"}


class Hosted:
    """A server whose routes are under `root`, with `key` in the header `key_header`.

    `takes`: fields of a request; others are refused. `limit`: every second answer of more than one
    token is refused with status 429. Errors repeat all headers of the request, as some gateways do.
    """

    def __init__(
        self,
        *,
        root: str = "/v1",
        query: str = "",
        key: str | None = None,
        key_header: str = "Authorization",
        takes: set[str] = KNOWN,
        limit: bool = False,
        done: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.root, self.query, self.key, self.key_header = root, query, key, key_header
        self.takes, self.limit, self.done = takes, limit, done
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.pages: list[str] = []
        self._lock = threading.Lock()
        owner = self

        class Handler(_Handler):
            hosted = owner

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The bodies of the generations."""
        return [body for _, _, body in self.requests]

    def __enter__(self) -> Hosted:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    def judge(
        self, path: str, headers: dict[str, str], body: dict[str, Any]
    ) -> tuple[int, str, dict[str, str]]:
        """Status, message and headers of the answer to a generation."""
        with self._lock:
            self.requests.append((path, headers, body))
            number = len(self.requests)
        said = " ".join(f"{name}: {value}" for name, value in headers.items())
        route, _, query = path.partition("?")
        if query != self.query or route not in (
            f"{self.root}/chat/completions",
            f"{self.root}/completions",
        ):
            return 404, "no such route", {}
        bearer = "Bearer " if self.key_header == "Authorization" else ""
        if self.key is not None and headers.get(self.key_header) != f"{bearer}{self.key}":
            return 401, f"Incorrect key: {headers.get(self.key_header)}", {}
        if unknown := sorted(set(body) - self.takes):
            return 400, f"Unrecognized request argument: {unknown[0]}; your headers: {said}", {}
        if isinstance(body.get("prompt"), list) and "token ids" not in self.takes:
            return 422, "prompt: expected a string", {}
        if self.limit and _tokens(body) > 1 and number % 2:
            return 429, f"Rate limit reached; your headers: {said}", LIMITS
        return 200, "", {}

    def stream(self, path: str, body: dict[str, Any]) -> bytes:
        """The events of an answer."""
        tokens = _tokens(body)
        chat = path.partition("?")[0].endswith("/chat/completions")
        text = {"delta": {"content": " word"}} if chat else {"text": " word"}
        events: list[Any] = [{"choices": [{"index": 0, **text, "finish_reason": None}]}] * tokens
        end = {"delta": {}} if chat else {"text": ""}
        events.append({"choices": [{"index": 0, **end, "finish_reason": "length"}]})
        if (body.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": _prompt_tokens(body), "completion_tokens": tokens}
            events.append({"choices": [], "usage": usage})
        lines = [f"data: {json.dumps(event)}\n\n" for event in events]
        return "".join([*lines, *(["data: [DONE]\n\n"] if self.done else [])]).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hosted: Hosted

    def do_GET(self) -> None:
        """Only the list of models exists."""
        self.hosted.pages.append(self.path)
        found = self.path.partition("?")[0] == f"{self.hosted.root}/models"
        self._send(200 if found else 404, b'{"data": [{"id": "m"}]}', {})

    def do_POST(self) -> None:
        """A generation; other routes do not exist."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.path.partition("?")[0].endswith("completions"):
            self.hosted.pages.append(self.path)
            self._send(404, b"{}", {})
            return
        status, message, headers = self.hosted.judge(self.path, dict(self.headers), body)
        if status == 200:
            self._send(
                200, self.hosted.stream(self.path, body), {"Content-Type": "text/event-stream"}
            )
        else:
            self._send(status, json.dumps({"error": {"message": message}}).encode(), headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _tokens(body: dict[str, Any]) -> int:
    return int(body.get("max_tokens") or body.get("max_completion_tokens") or 1)


def _prompt_tokens(body: dict[str, Any]) -> int:
    prompt = body.get("prompt")
    if isinstance(prompt, list):
        return len(prompt)
    if isinstance(prompt, str):
        return len(prompt.split())
    return sum(len(message["content"].split()) for message in body["messages"])


class ForwardProxy:
    """An HTTP proxy that leads every host to `port` of this machine. `seen`: request lines, with
    the proxy's own header.
    """

    def __init__(self, port: int, *, refuse: bool = False) -> None:
        self._to, self._refuse = port, refuse
        self.seen: list[tuple[str, str]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._start(self._accept)

    def __enter__(self) -> ForwardProxy:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        threading.Thread(target=target, args=args, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._open.append(sock)
                self._start(self._serve, sock)

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                more = client.recv(65536)
                if not more:
                    return
                data += more
            line = data.partition(b"\r\n")[0].decode()
            names = dict(
                row.split(": ", 1)
                for row in data.decode("latin-1").split("\r\n")[1:]
                if ": " in row
            )
            self.seen.append((line, names.get("Proxy-Authorization", "")))
            if self._refuse:
                client.sendall(
                    b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
                )
                client.close()
                return
            upstream = socket.create_connection(("127.0.0.1", self._to))
            self._open.append(upstream)
            if line.startswith("CONNECT "):
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                upstream.sendall(_origin_form(data))
            self._start(_relay, upstream, client, bytes)
            _relay(client, upstream, bytes if line.startswith("CONNECT ") else _origin_form)


def _relay(source: socket.socket, sink: socket.socket, change: Callable[[bytes], bytes]) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(change(data))
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


def _origin_form(data: bytes) -> bytes:
    """A request with its path instead of its URL; what is no head of a request is left."""
    line, _, rest = data.partition(b"\r\n")
    words = line.split(b" ")
    if len(words) != 3 or not words[1].startswith(b"http://"):
        return data
    parts = urlsplit(words[1].decode())
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return b"%b %b %b\r\n%b" % (words[0], path.encode(), words[2], rest)
