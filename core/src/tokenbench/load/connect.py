"""Making a connection without waiting for it: TCP, then TLS where it is asked for."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from .event_loop import EventLoop
from .poller import READ, WRITE
from .target_url import TargetUrl

if TYPE_CHECKING:
    import ssl

OnConnected = Callable[["socket.socket | None", str], None]
"""Called once: with the socket, or with None and the reason."""


class ConnectionAttempt:
    """One connection being made; each address of the host is tried in turn."""

    def __init__(self, loop: EventLoop, target_url: TargetUrl, done: OnConnected) -> None:
        self._loop = loop
        self._target_url = target_url
        self._done: OnConnected | None = done
        self._left = list(target_url.hosts())
        self._socket: socket.socket | None = None
        self._reason = "no address"

    def start(self) -> None:
        """Begin; `done` may be called before this returns."""
        while self._left and self._done is not None:
            family, kind, protocol, _, where = self._left.pop(0)
            try:
                # Fails too: a kernel without IPv6, no descriptor left.
                made = self._socket = socket.socket(family, kind, protocol)
                made.setblocking(False)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                made.connect(where)
            except BlockingIOError:
                self._loop.watch(made.fileno(), self._connected, WRITE)
                return
            except OSError as error:
                self._lose(error)
            else:
                self._secure()
                return
        self._end(None)

    def give_up(self, reason: str) -> None:
        """It took too long, or nobody wants it any more."""
        if self._done is not None:
            self._left.clear()
            self._lose(reason)
            self._end(None)

    def _connected(self, mask: int) -> None:
        assert self._socket is not None
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._lose(OSError(number, os.strerror(number)))
            self.start()
            return
        try:
            self._socket.getpeername()
        except OSError:
            return  # what was reported was of a descriptor of the same number, now closed
        self._secure()

    def _secure(self) -> None:
        """TCP stands."""
        assert self._socket is not None
        if self._target_url.tls is None:
            self._end(self._socket)
            return
        self._loop.forget(self._socket.fileno())
        try:
            self._socket = self._target_url.tls.wrap_socket(
                self._socket, server_hostname=self._target_url.name, do_handshake_on_connect=False
            )
        except OSError as error:  # It was reset this very moment.
            self._lose(error)
            self.start()
        else:
            self._shake(0)

    def _shake(self, mask: int) -> None:
        """As much of the TLS handshake as can be done now."""
        import ssl

        made = cast("ssl.SSLSocket", self._socket)
        try:
            made.do_handshake()
        except ssl.SSLWantReadError:
            self._loop.watch(made.fileno(), self._shake, READ)
        except ssl.SSLWantWriteError:
            self._loop.watch(made.fileno(), self._shake, WRITE)
        except OSError as error:
            self._lose(error)
            self.start()
        else:
            self._end(made)

    def _lose(self, reason: OSError | str) -> None:
        if isinstance(reason, OSError):
            reason = reason.strerror or str(reason)
        self._reason = reason
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _end(self, made: socket.socket | None) -> None:
        if made is not None:
            self._loop.forget(made.fileno())
        done, self._done = self._done, None
        if done is not None:
            done(made, self._reason)
