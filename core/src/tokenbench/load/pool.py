"""The connections of one load worker, and what the loop itself was late for."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine
from time import monotonic_ns
from typing import Any
from urllib.parse import urlsplit

from tokenbench.api import UsageError

from .connection import Connection
from .delays import Delays
from .exchange import Exchange
from .records import Status

_WATCH_EVERY_S = 0.01


class ConnectionPool:
    """Keep-alive connections to one endpoint.

    `spare` is how many idle connections are kept ahead, for an open loop, so that an arrival finds
    one. `loop_delays` samples the nanoseconds between the poll that reported readiness and the
    read's stamp: all sockets that one poll reported are read in one turn of the loop, so the first
    read of a turn marks the poll. One turn in ten milliseconds is `watching`: to be told of a
    turn's end costs as much as a read.
    """

    def __init__(self, url: str, *, connect_timeout_s: float, api_key: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"not an http address: {url}", hint="use http://HOST:PORT")
        if api_key and not (api_key.isascii() and api_key.isprintable()):
            # A line break in it would be a header of its own.
            raise UsageError(
                "the API key cannot be sent in a header",
                hint="it may hold printable ASCII characters only; look for a line break in it",
            )
        self._host = parts.hostname
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._prefix = parts.path.rstrip("/")
        self._connect_timeout_s = connect_timeout_s
        self._fixed = (
            f" HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\nAccept: text/event-stream\r\n"
            + (f"Authorization: Bearer {api_key}\r\n" if api_key else "")
        )
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._connecting = 0
        self._loop = asyncio.get_running_loop()
        self._turn_ns = 0
        self.watching = False
        self._closed = False
        self._heads: dict[tuple[str, str, str], bytes] = {}
        self.spare = 0
        self.loop_delays = Delays()
        self.retries = 0

    async def open(self, count: int) -> None:
        """Connect ahead, so that no measured request waits for a connection."""
        made = await asyncio.gather(
            *(self._connect() for _ in range(count)), return_exceptions=True
        )
        self._idle.extend(one for one in made if isinstance(one, Connection))

    def send(self, exchange: Exchange) -> None:
        """Send on a free connection, at once where there is one."""
        if len(self._idle) <= self.spare and self._connecting < self.spare:
            self._start(self._connect_spare())
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                connection.send(exchange)
                return
        self._start(self._connect_and_send(exchange))

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def drop(self, exchange: Exchange) -> None:
        """Close the connection that carries `exchange`, so that the server stops working on it."""
        for connection in tuple(self._all):
            if connection.carries(exchange):
                connection.close()
                self._all.discard(connection)

    def close(self) -> None:
        """Close every connection."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        for connection in tuple(self._all):
            connection.close()
        self._all.clear()
        self._idle.clear()

    # -- called by connections -------------------------------------------------------------------

    def on_read(self, now_ns: int) -> None:
        """Note how long after its poll this read came."""
        if self._turn_ns == 0:
            self._turn_ns = now_ns
            self._loop.call_soon(self._end_turn)
        self.loop_delays.add(now_ns - self._turn_ns)

    def watch(self) -> None:
        """Watch the next turn. To be called between two turns, as timers are."""
        self._turn_ns = 0
        self.watching = True
        if not self._closed:
            self._loop.call_later(_WATCH_EVERY_S, self.watch)

    def _end_turn(self) -> None:
        self.watching = False

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
            self._start(self._connect_and_send(exchange))
        else:
            exchange.end(monotonic_ns(), Status.BROKEN, f"connection closed: {reason}")

    # -- inside ----------------------------------------------------------------------------------

    def _head(self, exchange: Exchange) -> bytes:
        request = exchange.request
        key = (request.method, request.path, request.content_type)
        head = self._heads.get(key)
        if head is None:
            head = self._heads[key] = (
                f"{request.method} {self._prefix}{request.path}{self._fixed}"
                f"Content-Type: {request.content_type}\r\nContent-Length: "
            ).encode("latin-1")
        return b"%b%d\r\n\r\n" % (head, len(request.body))

    async def _connect(self) -> Connection:
        async with asyncio.timeout(self._connect_timeout_s):
            _, connection = await self._loop.create_connection(
                lambda: Connection(self, self._head),
                self._host,
                self._port,
                ssl=self._tls,
            )
        self._all.add(connection)
        return connection

    async def _connect_spare(self) -> None:
        """One more idle connection; a server that refuses it will refuse requests, which tell."""
        self._connecting += 1
        try:
            self._idle.append(await self._connect())
        except (OSError, TimeoutError):
            return
        finally:
            self._connecting -= 1

    async def _connect_and_send(self, exchange: Exchange) -> None:
        try:
            connection = await self._connect()
        except (OSError, TimeoutError) as error:
            reason = str(error) or "no answer"
            exchange.end(monotonic_ns(), Status.CONNECT, f"cannot connect: {reason}")
            return
        if exchange.status is None:
            connection.send(exchange)
        else:
            self._idle.append(connection)
