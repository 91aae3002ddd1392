"""The connections of one load worker."""

from __future__ import annotations

import socket
from collections.abc import Callable
from time import monotonic_ns

from .address import Address
from .connection import Connection
from .dial import Dial
from .exchange import Exchange
from .reactor import Reactor
from .receive import Receiver
from .records import Status
from .timers import Timers

_Made = Callable[[Connection | None, str], None]


class ConnectionPool:
    """Keep-alive connections to one endpoint.

    `spare` is how many idle connections are kept ahead, for an open loop, so that an arrival finds
    one.
    """

    def __init__(
        self, address: Address, reactor: Reactor, timers: Timers, *, connect_timeout_s: float
    ) -> None:
        self._address = address
        self._reactor = reactor
        self._timers = timers
        self._connect_timeout_s = connect_timeout_s
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._dials: set[Dial] = set()
        self._spares_on_the_way = 0
        self.receiver = Receiver(reactor)
        self.spare = 0
        self.retries = 0

    @property
    def connecting(self) -> bool:
        """Whether any connection is being made."""
        return bool(self._dials)

    def open(self, count: int) -> None:
        """Connect ahead, so that no measured request waits for a connection. Those that fail will
        fail again for the requests themselves, each classified as what it is.
        """
        for _ in range(count):
            self._connect(self._made_ahead)

    def send(self, exchange: Exchange) -> None:
        """Send on a free connection, at once where there is one."""
        idle = self._idle
        if len(idle) <= self.spare and self._spares_on_the_way < self.spare:
            self._spares_on_the_way += 1
            self._connect(self._made_spare)
        while idle:
            connection = idle.pop()
            if not connection.closed:
                connection.send(exchange)
                return
        self._connect_for(exchange)

    def drop(self, exchange: Exchange) -> None:
        """Close the connection that carries `exchange`, so that the server stops working on it."""
        connection = exchange.carrier
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Close every connection."""
        for dial in tuple(self._dials):
            dial.give_up("closed")
        for connection in tuple(self._all):
            connection.close()
        self._all.clear()
        self._idle.clear()

    # -- called by connections -------------------------------------------------------------------

    def release(self, connection: Connection) -> None:
        """Take a connection back."""
        self._idle.append(connection)

    def lost(self, connection: Connection, exchange: Exchange | None, reason: str) -> None:
        """Forget a connection. A request that a server's idle time-out swallowed (no byte came, the
        connection was an old one) is sent once more, on a new connection, with new stamps.
        """
        self._all.discard(connection)
        if exchange is None:
            return
        if exchange.reused:
            self.retries += 1
            exchange.reused = False
            self._connect_for(exchange)
        else:
            exchange.end(monotonic_ns(), Status.BROKEN, f"connection closed: {reason}")

    # -- inside ----------------------------------------------------------------------------------

    def _connect(self, made: _Made) -> None:
        def done(socket: socket.socket | None, reason: str) -> None:
            self._dials.discard(dial)
            connection = None
            if socket is not None:
                connection = Connection(socket, self.receiver, self, self._reactor)
                self._all.add(connection)
            made(connection, reason)

        try:
            dial = Dial(self._reactor, self._address, done)
        except OSError as error:
            made(None, error.strerror or str(error))
            return
        self._dials.add(dial)
        limit_s = self._connect_timeout_s
        self._timers.at(
            monotonic_ns() + int(limit_s * 1e9), dial.give_up, f"no answer within {limit_s:g} s"
        )
        dial.start()

    def _made_ahead(self, connection: Connection | None, reason: str) -> None:
        if connection is not None:
            self._idle.append(connection)

    def _made_spare(self, connection: Connection | None, reason: str) -> None:
        self._spares_on_the_way -= 1
        self._made_ahead(connection, reason)

    def _connect_for(self, exchange: Exchange) -> None:
        def made(connection: Connection | None, reason: str) -> None:
            if connection is None:
                exchange.end(monotonic_ns(), Status.CONNECT, f"cannot connect: {reason}")
            elif exchange.status is None:
                connection.send(exchange)
            else:
                self._idle.append(connection)

        self._connect(made)
