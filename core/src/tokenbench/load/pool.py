"""The connections of one load worker."""

from __future__ import annotations

import socket
from collections.abc import Callable
from time import monotonic_ns

from .connect import ConnectionAttempt
from .connection import Connection
from .event_loop import EventLoop
from .records import Status
from .request_state import InFlightRequest
from .socket_timestamps import Receiver
from .target_url import TargetUrl
from .timers import Timers

_Made = Callable[[Connection | None, str], None]


class ConnectionPool:
    """Keep-alive connections to one endpoint.

    `spare` is how many idle connections are kept ahead, for an open loop, so that an arrival finds
    one.
    """

    def __init__(
        self, target_url: TargetUrl, loop: EventLoop, timers: Timers, *, connect_timeout_s: float
    ) -> None:
        self._target_url = target_url
        self._loop = loop
        self._timers = timers
        self._connect_timeout_s = connect_timeout_s
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._attempts: set[ConnectionAttempt] = set()
        self._spares_on_the_way = 0
        self.receiver = Receiver(loop)
        self.spare = 0
        self.retries = 0

    @property
    def connecting(self) -> bool:
        """Whether any connection is being made."""
        return bool(self._attempts)

    def open(self, count: int) -> None:
        """Connect ahead, so that no measured request waits for a connection. Those that fail will
        fail again for the requests themselves, each classified as what it is.
        """
        for _ in range(count):
            self._connect(self._made_ahead)

    def send(self, request: InFlightRequest) -> None:
        """Send on a free connection, at once where there is one."""
        idle = self._idle
        if len(idle) <= self.spare and self._spares_on_the_way < self.spare:
            self._spares_on_the_way += 1
            self._connect(self._made_spare)
        while idle:
            connection = idle.pop()
            if not connection.closed:
                connection.send(request)
                return
        self._connect_for(request)

    def drop(self, request: InFlightRequest) -> None:
        """Close the connection that carries `request`, so that the server stops working on it."""
        connection = request.carrier
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Close every connection."""
        for attempt in tuple(self._attempts):
            attempt.give_up("closed")
        for connection in tuple(self._all):
            connection.close()
        self._all.clear()
        self._idle.clear()

    # -- called by connections -------------------------------------------------------------------

    def release(self, connection: Connection) -> None:
        """Take a connection back."""
        self._idle.append(connection)

    def lost(self, connection: Connection, request: InFlightRequest | None, reason: str) -> None:
        """Forget a connection. A request that a server's idle time-out swallowed (no byte came, the
        connection was an old one) is sent once more, on a new connection, with new stamps.
        """
        self._all.discard(connection)
        if request is None:
            return
        if request.reused:
            self.retries += 1
            request.reused = False
            self._connect_for(request)
        else:
            request.end(monotonic_ns(), Status.BROKEN, f"connection closed: {reason}")

    # -- inside ----------------------------------------------------------------------------------

    def _connect(self, made: _Made) -> None:
        def done(socket: socket.socket | None, reason: str) -> None:
            self._attempts.discard(attempt)
            connection = None
            if socket is not None:
                connection = Connection(socket, self.receiver, self, self._loop)
                self._all.add(connection)
            made(connection, reason)

        try:
            attempt = ConnectionAttempt(self._loop, self._target_url, done)
        except OSError as error:
            made(None, error.strerror or str(error))
            return
        self._attempts.add(attempt)
        limit_s = self._connect_timeout_s
        self._timers.at(
            monotonic_ns() + int(limit_s * 1e9), attempt.give_up, f"no answer within {limit_s:g} s"
        )
        attempt.start()

    def _made_ahead(self, connection: Connection | None, reason: str) -> None:
        if connection is not None:
            self._idle.append(connection)

    def _made_spare(self, connection: Connection | None, reason: str) -> None:
        self._spares_on_the_way -= 1
        self._made_ahead(connection, reason)

    def _connect_for(self, request: InFlightRequest) -> None:
        def made(connection: Connection | None, reason: str) -> None:
            if connection is None:
                request.end(monotonic_ns(), Status.CONNECT, f"cannot connect: {reason}")
            elif request.status is None:
                connection.send(request)
            else:
                self._idle.append(connection)

        self._connect(made)
