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

# A request fails this long after its failed connect. Doubled while all connects fail.
_MIN_BACKOFF_NS, _MAX_BACKOFF_NS = 10_000_000, 1_000_000_000

_OnConnection = Callable[[Connection | None, str], None]
"""Called with a connection, or with None and the reason of the failure."""


class ConnectionPool:
    """Keep-alive connections to one endpoint.

    A request that cannot connect fails after a pause, so that a closed loop does not flood a dead
    server with connects. The pause delays the end of the failed request, not the start of the next.

    `spare`: idle connections to keep ready for the arrivals of an open loop. `retries`: how often
    requests were sent again.
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
        self._spares_connecting = 0
        self._backoff_ns = self._backoff_since_ns = 0
        self.receiver = Receiver(loop)
        self.hidden = target_url.hidden
        self.spare = 0
        self.retries = 0

    @property
    def connecting(self) -> bool:
        """Whether any connection attempt is in progress."""
        return bool(self._attempts)

    def connect_ahead(self, count: int) -> None:
        """Open connections before the load starts, so that no request waits for one.

        A failure is ignored here: the request that needs the connection reports it.
        """
        for _ in range(count):
            self._connect(self._add_idle)

    def send(self, request: InFlightRequest) -> None:
        """Send on an idle connection, or on a new one if there is none."""
        idle = self._idle
        missing = len(idle) <= self.spare and self._spares_connecting < self.spare
        if missing and not self._backoff_ns:
            self._spares_connecting += 1
            self._connect(self._add_spare)
        while idle:
            connection = idle.pop()
            if not connection.closed:
                connection.send(request)
                return
        self._connect_for(request)

    def drop(self, request: InFlightRequest) -> None:
        """Close the connection of a request, so that the server stops working on it."""
        if request.connection is not None:
            request.connection.close()

    def close(self) -> None:
        """Close every connection."""
        for attempt in tuple(self._attempts):
            attempt.cancel("closed")
        for connection in tuple(self._all):
            connection.close()
        self._all.clear()
        self._idle.clear()

    # -- called by connections -------------------------------------------------------------------

    def release(self, connection: Connection) -> None:
        """The connection is free for another request."""
        self._idle.append(connection)

    def discard(self, connection: Connection) -> None:
        """The connection was closed."""
        self._all.discard(connection)

    def retry(self, request: InFlightRequest, reason: str) -> None:
        """Send a request once more if the server may have closed its connection for being idle.

        The connection had been used before, and no byte of the response arrived. The request gets a
        new connection, so this happens once at most. The time of the first attempt counts.
        """
        if request.reused:
            self.retries += 1
            request.retries += 1
            request.reused = False
            self._connect_for(request)
        else:
            request.end(monotonic_ns(), Status.BROKEN, f"connection closed: {reason}")

    def _connect(self, on_connection: _OnConnection) -> None:
        def done(sock: socket.socket | None, reason: str) -> None:
            self._attempts.discard(attempt)
            connection = None
            if sock is not None:
                self._backoff_ns = 0
                connection = Connection(sock, self.receiver, self, self._loop)
                self._all.add(connection)
            on_connection(connection, f"cannot connect: {reason}")

        try:
            attempt = ConnectionAttempt(self._loop, self._target_url, done)
        except OSError as error:
            reason = error.strerror or str(error)
            on_connection(None, f"cannot resolve {self._target_url.hostname}: {reason}")
            return
        self._attempts.add(attempt)
        limit_s = self._connect_timeout_s
        self._timers.call_at(
            monotonic_ns() + int(limit_s * 1e9), attempt.cancel, f"no answer within {limit_s:g} s"
        )
        attempt.start()

    def _add_idle(self, connection: Connection | None, reason: str) -> None:
        if connection is not None:
            self._idle.append(connection)

    def _add_spare(self, connection: Connection | None, reason: str) -> None:
        self._spares_connecting -= 1
        self._add_idle(connection, reason)

    def _connect_for(self, request: InFlightRequest) -> None:
        begun_ns = monotonic_ns()

        def fail(reason: str) -> None:
            request.end(monotonic_ns(), Status.CONNECT, reason)

        def send(connection: Connection | None, reason: str) -> None:
            if connection is None:
                self._back_off(begun_ns)
                self._timers.call_at(monotonic_ns() + self._backoff_ns, fail, reason)
            elif request.status is None:
                connection.send(request)
            else:
                self._idle.append(connection)

        self._connect(send)

    def _back_off(self, begun_ns: int) -> None:
        """Double the pause, unless the connect began before the last increase."""
        if begun_ns >= self._backoff_since_ns:
            longer = max(_MIN_BACKOFF_NS, 2 * self._backoff_ns)
            self._backoff_ns = min(_MAX_BACKOFF_NS, longer)
            self._backoff_since_ns = monotonic_ns()
