"""The URL that requests are sent to, and requests as HTTP/1.1 bytes."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from tokenbench.api import Access, HttpRequest, UsageError
from tokenbench.launch.proxy import find_proxy
from tokenbench.launch.secret import request_headers, secrets
from tokenbench.launch.tls import tls_context

if TYPE_CHECKING:
    import ssl

# RFC 9110, section 5.
# The size is a 16-bit field of the session file.
_MAX_HEADER_BYTES = 2**16 - 1
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

Route = tuple[str, str, str]
"""Method, path and content type of a request."""

Address = tuple[int, int, int, str, Any]
"""One result of :func:`socket.getaddrinfo`."""


class TargetUrl:
    """The URL of a server, and how to reach it. The host to connect to, which may be a proxy, is
    resolved once, before the load starts.

    `tunnel`: the CONNECT request to the proxy, for https through a proxy.
    `hidden`: secrets that the server may repeat in error messages.

    Raises:
        UsageError: the URL is not an HTTP URL, or the API key cannot be sent.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None,
        access: Access = Access(),  # noqa: B008 - frozen
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"not an HTTP URL: {url}", hint="use http://HOST:PORT")
        headers = request_headers(access, api_key)
        self.hidden = secrets(url, access, api_key)
        self.hostname = parts.hostname
        self.tls = cast("ssl.SSLContext | None", tls_context(access, url) or None)
        port = parts.port or (443 if self.tls else 80)
        host = parts.netloc.rpartition("@")[2]
        self._access = access
        self._prefix = parts.path.rstrip("/")
        self._connect_to = (parts.hostname, port)
        self.tunnel = b""
        proxy = find_proxy(url, access)
        if proxy is not None:
            self._connect_to = (proxy.host, proxy.port)
            if self.tls:
                self.tunnel = _tunnel(host if parts.port else f"{host}:{port}", proxy.headers)
            else:
                self._prefix = f"http://{host}{self._prefix}"
                headers |= proxy.headers
        self._common_head = (
            f" HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n"
            f"Accept-Encoding: identity\r\n{_lines(headers)}"
        )
        self._addresses: tuple[Address, ...] | OSError | None = None

    def addresses(self) -> tuple[Address, ...]:
        """The addresses of the host.

        Raises:
            OSError: the host name cannot be resolved.
        """
        if self._addresses is None:
            try:
                found = socket.getaddrinfo(*self._connect_to, type=socket.SOCK_STREAM)
                self._addresses = tuple(found)
            except OSError as error:
                self._addresses = error  # Another lookup would block all connections.
        if isinstance(self._addresses, OSError):
            raise self._addresses
        return self._addresses

    def head_prefix(self, route: Route) -> bytes:
        """The head of every request of a route, up to the value of Content-Length."""
        method, path, content_type = route
        target = f"{self._prefix}{self._access.path(path)}"
        head = f"{method} {target}{self._common_head}Content-Type: {content_type}"
        return head.encode("latin-1") + b"\r\nContent-Length: "

    def http_bytes(self, request: HttpRequest) -> bytes:
        """A request as HTTP/1.1 bytes."""
        prefix = self.head_prefix((request.method, request.path, request.content_type))
        return with_body(prefix, request.body, header_lines(request.headers))


def with_body(head_prefix: bytes, body: bytes, headers: bytes = b"") -> bytes:
    """A request as HTTP/1.1 bytes, from the prefix of its head, its header lines and its body."""
    return b"%b%d\r\n%b\r\n%b" % (head_prefix, len(body), headers, body)


def header_lines(headers: tuple[tuple[str, str], ...]) -> bytes:
    """Headers as bytes.

    Raises:
        ValueError: a name or a value cannot be sent, for example because it has a line break; or
            they are longer than 65,535 bytes.
    """
    if not headers:
        return b""
    for name, value in headers:
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"cannot send the header {name!r} with {value!r}")
    lines = _lines(dict(headers)).encode("latin-1")
    if len(lines) > _MAX_HEADER_BYTES:
        raise ValueError(f"{len(lines):,} bytes of headers, at most {_MAX_HEADER_BYTES:,}")
    return lines


def _tunnel(host: str, headers: dict[str, str]) -> bytes:
    return f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n{_lines(headers)}\r\n".encode("latin-1")


def _lines(headers: dict[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())
