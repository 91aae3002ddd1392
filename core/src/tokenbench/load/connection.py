"""A keep-alive HTTP/1.1 connection: bytes are stamped when they arrive, before any parsing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from time import monotonic_ns
from typing import Any, Protocol, cast

import httptools

from .exchange import Exchange
from .records import Status
from .stencil import Stencil

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_FRAMING_LENGTHS = frozenset(map(len, _FRAMING))
_NO_HEADS: dict[int, bytes] = {}
_NOWHERE: list[int] = []


class Pool(Protocol):
    """What a connection needs of the pool it belongs to."""

    watching: bool

    def on_read(self, now_ns: int) -> None:
        """A socket was read at `now_ns`, while reads are watched."""

    def release(self, connection: Connection) -> None:
        """The connection is free for another exchange."""

    def lost(self, connection: Connection, exchange: Exchange | None, reason: str) -> None:
        """The connection is gone; `exchange` was under way on it and has had no byte."""


class Connection(asyncio.Protocol):
    """Carries one exchange at a time."""

    def __init__(self, pool: Pool, head: Callable[[Exchange], bytes]) -> None:
        self._pool = pool
        self._head = head
        self._exchange: Exchange | None = None
        self._now_ns = 0
        self._used = False
        self._got_bytes = False
        self._framed = False
        self._between = False
        self._stencil: Stencil | None = None
        self._heads: dict[int, bytes] = _NO_HEADS
        self._tail = b""
        self._quotes = self._bytes = 0
        self._token: Callable[[int], None] = _NOWHERE.append
        self._error_body = bytearray()
        self._bodies: list[bytes] = []
        self._parser: Any = None
        self._transport: asyncio.Transport | None = None
        self._fd: int | None = None
        self.closed = False

    # -- asyncio ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the socket: requests are written to it directly, to stamp the real write."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(0)
        if transport.get_extra_info("sslcontext") is None:
            self._fd = transport.get_extra_info("socket").fileno()
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        """Stamp, then look. This is all that runs for most tokens, so it is short rather than
        pretty: a line here costs more than anything else in this package.
        """
        now_ns = monotonic_ns()
        if self._pool.watching:
            self._pool.on_read(now_ns)
        head = self._heads.get(len(data))
        if (
            head is not None
            and data.startswith(head)
            and data.endswith(self._tail)
            and data.count(b'"') == self._quotes
            and b"\\" not in data
        ):
            self._token(now_ns)
            self._bytes += len(data)
            return
        self._look(data, now_ns)

    def _look(self, data: bytes, now_ns: int) -> None:
        """What is no plain token, or is of a length that has not come up yet."""
        stencil = self._stencil
        if stencil is not None:
            head = stencil.head(len(data))
            if head is not None and self._fits(data, head):
                self._token(now_ns)
                self._bytes += len(data)
                return
        self._now_ns = now_ns
        self._got_bytes = True
        self._bytes += len(data)
        try:
            self._parser.feed_data(data)
            self._take_bodies()
        except httptools.HttpParserError as error:
            # What a callback raises, the parser wraps.
            cause = error.__context__
            said = f"unreadable response: {cause}" if isinstance(cause, ValueError) else None
            self._fail(said or f"not HTTP: {error}")
            return
        except ValueError as error:
            self._fail(f"unreadable response: {error}")
            return
        exchange = self._exchange
        if exchange is None or exchange.stencil is None:
            return
        # Where parser and reader both stand between two chunks, they need not see plain tokens.
        if self._between and data.endswith(b"\n\r\n") and exchange.reader.clean:
            if exchange.stencil is not stencil:
                self._use(exchange.stencil, exchange.stamps)
        else:
            self._use(None, _NOWHERE)

    def _fits(self, data: bytes, head: bytes) -> bool:
        """As in `data_received`, for a length that has just come up."""
        return (
            data.startswith(head)
            and data.endswith(self._tail)
            and data.count(b'"') == self._quotes
            and b"\\" not in data
        )

    def _use(self, stencil: Stencil | None, stamps: list[int]) -> None:
        self._stencil = stencil
        self._token = stamps.append
        if stencil is None:
            self._heads = _NO_HEADS
        else:
            self._heads, self._tail, self._quotes = stencil.heads, stencil.tail, stencil.quotes

    def _let_go(self) -> Exchange | None:
        """The exchange is no longer this connection's; what was read for it is booked."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.bytes_in += self._bytes
        self._bytes = 0
        self._use(None, _NOWHERE)
        return exchange

    def resume_writing(self) -> None:
        """The rest of a request that did not fit the socket's buffer is out."""
        if self._exchange is not None:
            self._exchange.sent_last_ns = monotonic_ns()

    def connection_lost(self, error: Exception | None) -> None:
        """End what was under way."""
        self.closed = True
        exchange = self._let_go()
        if exchange is not None and exchange.status is None:
            now_ns = monotonic_ns()
            if self._got_bytes and not self._framed and error is None and exchange.http_status > 0:
                # A body without length or chunks ends with the connection.
                exchange.complete(now_ns)
            elif self._got_bytes or not exchange.reused:
                exchange.end(now_ns, Status.BROKEN, f"connection closed: {error or 'by server'}")
            else:
                self._pool.lost(self, exchange, str(error or "closed by server"))
                return
        self._pool.lost(self, None, str(error or "closed"))

    # -- httptools -------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A response begins."""
        self._framed = False
        self._error_body.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Notice whether the body's end is marked."""
        if len(name) in _FRAMING_LENGTHS and name.lower() in _FRAMING:
            self._framed = True

    def on_chunk_header(self) -> None:
        """A chunk of the body begins."""
        self._between = False

    def on_chunk_complete(self) -> None:
        """A chunk of the body is whole."""
        self._between = True

    def on_headers_complete(self) -> None:
        """The status is known."""
        if self._exchange is not None:
            self._exchange.http_status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """Part of the body; the parts of one read are looked at together."""
        self._bodies.append(body)

    def _take_bodies(self) -> None:
        if not self._bodies:
            return
        body = self._bodies[0] if len(self._bodies) == 1 else b"".join(self._bodies)
        self._bodies.clear()
        exchange = self._exchange
        if exchange is None:
            return
        if exchange.http_status == 200:
            exchange.on_body(body, self._now_ns)
        elif len(self._error_body) < 500:
            self._error_body += body

    def on_message_complete(self) -> None:
        """The response is whole; the connection can carry another."""
        if 100 <= self._parser.get_status_code() < 200:
            return  # The real answer is still to come.
        if self._exchange is None:
            self.close()  # Nobody asked: what comes next could be taken for an answer.
            return
        self._take_bodies()
        exchange = self._let_go()
        keep = self._parser.should_keep_alive()
        if not keep:
            self.close()
        else:
            self._pool.release(self)
        assert exchange is not None
        if exchange.http_status != 200:
            exchange.error = self._error_body[:500].decode(errors="replace")
        exchange.complete(self._now_ns)

    # -- the pool --------------------------------------------------------------------------------

    def send(self, exchange: Exchange) -> None:
        """Write the request; the stamps are those of the write itself."""
        self._exchange = exchange
        exchange.reused = self._used
        self._used = True
        self._got_bytes = self._between = False
        data = self._head(exchange) + exchange.request.body
        transport = self._transport
        assert transport is not None
        exchange.sent_first_ns = monotonic_ns()
        if self._fd is None:
            transport.write(data)
            exchange.sent_last_ns = monotonic_ns()
            return
        try:
            written = os.write(self._fd, data)
        except BlockingIOError:
            written = 0
        except OSError as error:
            self._let_go()
            transport.abort()
            self._pool.lost(self, exchange, str(error))
            return
        exchange.sent_last_ns = monotonic_ns()
        if written < len(data):
            transport.write(data[written:])

    def carries(self, exchange: Exchange) -> bool:
        """Whether `exchange` is under way here."""
        return self._exchange is exchange

    def close(self) -> None:
        """Close it; what is under way is ended by the caller."""
        self.closed = True
        self._let_go()
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, reason: str) -> None:
        exchange = self._exchange
        self.close()
        if exchange is not None:
            exchange.end(self._now_ns, Status.BROKEN, reason)
