"""Where requests go, and the HTTP/1.1 bytes that they go as."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tokenbench.api import HttpRequest, UsageError

if TYPE_CHECKING:
    import ssl

Route = tuple[str, str, str]
"""Method, path and content type of a request."""

Host = tuple[int, int, int, str, Any]
"""One answer of ``socket.getaddrinfo``."""


class TargetUrl:
    """One endpoint. Its name is looked up once, before any clock runs.

    Raises:
        UsageError: it is no HTTP address, or the key cannot be sent.
    """

    def __init__(self, url: str, *, api_key: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"not an http address: {url}", hint="use http://HOST:PORT")
        if api_key and not (api_key.isascii() and api_key.isprintable()):
            # A line break in it would be a header of its own.
            raise UsageError(
                "the API key cannot be sent in a header",
                hint="it may hold printable ASCII characters only; look for a line break in it",
            )
        self.name = parts.hostname
        self.tls = _tls() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self.tls else 80)
        self._prefix = parts.path.rstrip("/")
        self._fixed = (
            f" HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\nAccept: text/event-stream\r\n"
            + (f"Authorization: Bearer {api_key}\r\n" if api_key else "")
        )
        self._hosts: tuple[Host, ...] | OSError | None = None

    def hosts(self) -> tuple[Host, ...]:
        """What its name stands for.

        Raises:
            OSError: nothing that is known.
        """
        if self._hosts is None:
            try:
                found = socket.getaddrinfo(self.name, self._port, type=socket.SOCK_STREAM)
                self._hosts = tuple(found)
            except OSError as error:
                self._hosts = error  # To ask again would hold up every stream.
        if isinstance(self._hosts, OSError):
            raise self._hosts
        return self._hosts

    def opening(self, route: Route) -> bytes:
        """The head of every request of a route, up to the body's length."""
        method, path, content_type = route
        head = f"{method} {self._prefix}{path}{self._fixed}Content-Type: {content_type}\r\n"
        return head.encode("latin-1") + b"Content-Length: "

    def http_bytes(self, request: HttpRequest) -> bytes:
        """A request as it goes over the wire."""
        opening = self.opening((request.method, request.path, request.content_type))
        return with_body(opening, request.body)


def with_body(opening: bytes, body: bytes) -> bytes:
    """A request of a route: its head, finished, and its body."""
    return b"%b%d\r\n\r\n%b" % (opening, len(body), body)


def _tls() -> ssl.SSLContext:
    import ssl

    return ssl.create_default_context()
