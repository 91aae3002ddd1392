"""The URL that requests are sent to, and requests as HTTP/1.1 bytes."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tokenbench.api import HttpRequest, UsageError

if TYPE_CHECKING:
    import ssl

Route = tuple[str, str, str]
"""Method, path and content type of a request."""

Address = tuple[int, int, int, str, Any]
"""One result of :func:`socket.getaddrinfo`."""


class TargetUrl:
    """The URL of a server. Its host name is resolved once, before the load starts.

    Raises:
        UsageError: the URL is not an HTTP URL, or the API key cannot be sent.
    """

    def __init__(self, url: str, *, api_key: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"not an HTTP URL: {url}", hint="use http://HOST:PORT")
        if api_key and not (api_key.isascii() and api_key.isprintable()):
            # A line break would start another header.
            raise UsageError(
                "the API key cannot be sent in an HTTP header",
                hint="only printable ASCII characters are allowed; check the key for a line break",
            )
        self.hostname = parts.hostname
        self.tls = _tls() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self.tls else 80)
        self._prefix = parts.path.rstrip("/")
        self._common_head = (
            f" HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\nAccept: text/event-stream\r\n"
            "Accept-Encoding: identity\r\n"
            + (f"Authorization: Bearer {api_key}\r\n" if api_key else "")
        )
        self._addresses: tuple[Address, ...] | OSError | None = None

    def addresses(self) -> tuple[Address, ...]:
        """The addresses of the host.

        Raises:
            OSError: the host name cannot be resolved.
        """
        if self._addresses is None:
            try:
                found = socket.getaddrinfo(self.hostname, self._port, type=socket.SOCK_STREAM)
                self._addresses = tuple(found)
            except OSError as error:
                self._addresses = error  # Another lookup would block all connections.
        if isinstance(self._addresses, OSError):
            raise self._addresses
        return self._addresses

    def head_prefix(self, route: Route) -> bytes:
        """The head of every request of a route, up to the value of Content-Length."""
        method, path, content_type = route
        head = f"{method} {self._prefix}{path}{self._common_head}Content-Type: {content_type}"
        return head.encode("latin-1") + b"\r\nContent-Length: "

    def http_bytes(self, request: HttpRequest) -> bytes:
        """A request as HTTP/1.1 bytes."""
        prefix = self.head_prefix((request.method, request.path, request.content_type))
        return with_body(prefix, request.body)


def with_body(head_prefix: bytes, body: bytes) -> bytes:
    """A request as HTTP/1.1 bytes, from the prefix of its head and its body."""
    return b"%b%d\r\n\r\n%b" % (head_prefix, len(body), body)


def _tls() -> ssl.SSLContext:
    import ssl

    return ssl.create_default_context()
