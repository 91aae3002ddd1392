"""Non-blocking connection attempts: TCP, then TLS for https."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from .event_loop import EventLoop
from .poller import READ, WRITE
from .target_url import TargetUrl
from .tunnel import Tunnel

if TYPE_CHECKING:
    import ssl

OnConnected = Callable[["socket.socket | None", str], None]
"""Called once: with the socket, or with None and the reason of the failure."""


class ConnectionAttempt:
    """An attempt to connect to a host; tries its addresses in order."""

    def __init__(self, loop: EventLoop, target_url: TargetUrl, done: OnConnected) -> None:
        self._loop = loop
        self._target_url = target_url
        self._done: OnConnected | None = done
        self._addresses = list(target_url.addresses())
        self._socket: socket.socket | None = None
        self._reason = "no address"

    def start(self) -> None:
        """Start with the next address; `done` may be called before this returns."""
        while self._addresses and self._done is not None:
            family, kind, protocol, _, address = self._addresses.pop(0)
            try:
                # May fail too: a kernel without IPv6, or too many open files.
                sock = self._socket = socket.socket(family, kind, protocol)
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect(address)
            except BlockingIOError:
                self._loop.watch(sock.fileno(), self._tcp_writable, WRITE)
                return
            except OSError as error:
                self._close_socket(error)
            else:
                self._tcp_connected()
                return
        self._finish(None)

    def cancel(self, reason: str) -> None:
        """Stop the attempt; no effect if it has finished."""
        if self._done is not None:
            self._addresses.clear()
            self._close_socket(reason)
            self._finish(None)

    def _tcp_writable(self, mask: int) -> None:
        assert self._socket is not None
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._close_socket(OSError(number, os.strerror(number)))
            self.start()
            return
        try:
            self._socket.getpeername()
        except OSError:
            return  # The event belongs to a closed descriptor with the same number.
        self._tcp_connected()

    def _tcp_connected(self) -> None:
        assert self._socket is not None
        if self._target_url.tunnel:
            Tunnel(self._loop, self._socket, self._target_url.tunnel, self._tunnelled).start()
        else:
            self._secure()

    def _tunnelled(self, failure: str) -> None:
        """The proxy has answered."""
        if failure:
            self._close_socket(failure)
            self.start()
        else:
            self._secure()

    def _secure(self) -> None:
        assert self._socket is not None
        if self._target_url.tls is None:
            self._finish(self._socket)
            return
        self._loop.unwatch(self._socket.fileno())
        try:
            self._socket = self._target_url.tls.wrap_socket(
                self._socket,
                server_hostname=self._target_url.hostname,
                do_handshake_on_connect=False,
            )
        except OSError as error:  # The server has just reset the connection.
            self._close_socket(error)
            self.start()
        else:
            self._continue_handshake(0)

    def _continue_handshake(self, mask: int) -> None:
        import ssl

        sock = cast("ssl.SSLSocket", self._socket)
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            self._loop.watch(sock.fileno(), self._continue_handshake, READ)
        except ssl.SSLWantWriteError:
            self._loop.watch(sock.fileno(), self._continue_handshake, WRITE)
        except OSError as error:
            self._close_socket(error)
            self.start()
        else:
            self._finish(sock)

    def _close_socket(self, reason: OSError | str) -> None:
        if isinstance(reason, OSError):
            reason = reason.strerror or str(reason)
        self._reason = reason
        if self._socket is not None:
            self._loop.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _finish(self, sock: socket.socket | None) -> None:
        if sock is not None:
            self._loop.unwatch(sock.fileno())
        done, self._done = self._done, None
        if done is not None:
            done(sock, self._reason)
