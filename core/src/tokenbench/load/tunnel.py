"""A connection to a server through an HTTP proxy: ``CONNECT`` on a non-blocking socket."""

from __future__ import annotations

import socket
from collections.abc import Callable

from .event_loop import EventLoop
from .poller import READ

_MAX_HEAD, _MAX_SHOWN = 65536, 200


class Tunnel:
    """Asks the proxy at the other end of `sock` for a tunnel. The caller still owns the socket.

    Args:
        request: the bytes of the CONNECT request.
        done: called once, with the reason of a failure; empty if the tunnel is open.
    """

    def __init__(
        self, loop: EventLoop, sock: socket.socket, request: bytes, done: Callable[[str], None]
    ) -> None:
        self._loop, self._socket, self._request, self._done = loop, sock, request, done
        self._head = b""

    def start(self) -> None:
        """Send the request. It is short enough for the empty buffer of a new socket."""
        try:
            self._socket.sendall(self._request)
        except OSError as error:
            self._end(f"the proxy: {error.strerror or error}")
        else:
            self._loop.watch(self._socket.fileno(), self._readable, READ)

    def _readable(self, mask: int) -> None:
        try:
            # The server sends nothing before the TLS handshake, so none of its bytes is read here.
            data = self._socket.recv(_MAX_HEAD)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(f"the proxy: {error.strerror or error}")
            return
        self._head += data
        if b"\r\n\r\n" in self._head:
            status = self._head.partition(b"\r\n")[0].decode("latin-1")
            code = status.split(" ")[1:2]
            refused = not (status.startswith("HTTP/1.") and code and code[0].startswith("2"))
            self._end(f"the proxy refuses the connection: {status[:_MAX_SHOWN]}" if refused else "")
        elif not data or len(self._head) > _MAX_HEAD:
            self._end("the proxy closed the connection")

    def _end(self, failure: str) -> None:
        self._loop.unwatch(self._socket.fileno())
        self._done(failure)
