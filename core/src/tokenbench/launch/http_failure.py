"""Failures of httpx as text in the form of :mod:`.failure`, and the protocol of a port."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import httpx

_PROBE_S = 1.0
_CLOSED = ("disconnected", "closed", "incomplete")


def failure_text(error: httpx.HTTPError | httpx.InvalidURL, url: str) -> str:
    """The text of a failure, as :mod:`.failure` describes it.

    Never the error's own text, which may contain a header or a password.
    """
    import httpx

    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return "cannot connect: no answer within its time limit"
    if isinstance(error, httpx.TimeoutException):
        return f"no response within its time limit ({type(error).__name__})"
    if isinstance(error, httpx.ConnectError):
        return _connect_text(error, url)
    if isinstance(error, httpx.RemoteProtocolError):
        closed = any(word in str(error) for word in _CLOSED)
        return "connection closed: by server" if closed else "not HTTP: unreadable head"
    if isinstance(error, httpx.NetworkError):
        return f"connection closed: {_reason(error) or 'by server'}"
    return type(error).__name__


def _connect_text(error: BaseException, url: str) -> str:
    reason = _reason(error) or "unknown reason"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return f"cannot resolve {urlsplit(url).hostname}: {reason}"
        cause = cause.__cause__ or cause.__context__
    return f"cannot connect: {reason}"


def _reason(error: BaseException) -> str | None:
    """The reason of the operating system or of the TLS library."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return cause.strerror or str(cause) or type(cause).__name__
        cause = cause.__cause__ or cause.__context__
    return None


def check_scheme(failure: str, url: str) -> str:
    """The failure, or ``speaks TLS`` or ``HTTP_REQUEST`` if the URL has the wrong scheme. Some
    servers answer the wrong protocol with silence or by closing. Both have other causes too, so
    this tries the other protocol.
    """
    parts = urlsplit(url)
    suspect = failure.startswith(("connection closed", "not HTTP", "cannot connect: no answer"))
    if parts.scheme == "https":
        suspect = suspect or (failure.startswith("cannot connect: ") and "refused" not in failure)
        if suspect and "CERTIFICATE" not in failure and _answers_http(url):
            return "cannot connect: HTTP_REQUEST"
    elif suspect and _answers_tls(url):
        return "speaks TLS"
    return failure


def connect(url: str) -> socket.socket:
    """A connected socket.

    Raises:
        OSError: no connection.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return socket.create_connection((parts.hostname, port), timeout=_PROBE_S)


def _answers_http(url: str) -> bool:
    host = urlsplit(url).netloc.rpartition("@")[2]
    try:
        with connect(url) as sock:
            sock.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            return sock.recv(5) == b"HTTP/"
    except OSError:
        return False


def _answers_tls(url: str) -> bool:
    context = ssl.create_default_context()
    # Only a handshake, to see whether it speaks TLS. No request is sent.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            connect(url) as sock,
            context.wrap_socket(sock, server_hostname=urlsplit(url).hostname),
        ):
            return True
    except ssl.SSLError as error:
        # An alert is TLS too: the server may want a client's certificate, or other versions.
        return "ALERT" in str(error)
    except OSError:
        return False
