"""A keep-alive HTTP/1.1 connection: bytes have the stamp of their arrival before any parsing."""

from __future__ import annotations

import socket
from time import monotonic_ns
from typing import Any, Protocol

import httptools

from .event_loop import EventLoop
from .poller import READ, WRITE
from .records import Status
from .request_state import InFlightRequest
from .socket_timestamps import Receiver
from .token_reader import reader_of, would_block

_FRAMING = (b"content-length:", b"transfer-encoding:")


class Pool(Protocol):
    """What a connection needs of the pool it belongs to."""

    def release(self, connection: Connection) -> None:
        """The connection is free for another exchange."""

    def lost(self, connection: Connection, request: InFlightRequest | None, reason: str) -> None:
        """The connection is gone; `request` was under way on it and has had no byte."""


def _at_chunk_end(data: bytes, last: bytes) -> bool:
    """Whether a read ends with a chunk whose end is `last`: within a chunk, the read would end with
    `last` itself. Of a part that is nothing but line ends both is true; it is taken for the latter.
    """
    return last != b"" and data.endswith(last + b"\r\n") and not data.endswith(last)


class Connection:
    """Carries one exchange at a time."""

    __slots__ = (
        "_again",
        "_bodies",
        "_bytes",
        "_error_body",
        "_fd",
        "_got_bytes",
        "_keep",
        "_loop",
        "_now_ns",
        "_opening",
        "_parser",
        "_pool",
        "_reader",
        "_receiver",
        "_request",
        "_send",
        "_socket",
        "_stray",
        "_unsent",
        "_used",
        "_whole",
        "closed",
    )

    def __init__(
        self, made: socket.socket, receiver: Receiver, pool: Pool, loop: EventLoop
    ) -> None:
        self._socket = made
        self._receiver = receiver
        self._send = made.send
        self._fd = made.fileno()
        self._again = would_block(made)
        self._pool = pool
        self._loop = loop
        self._request: InFlightRequest | None = None
        self._now_ns = 0
        self._used = self._got_bytes = False
        self._whole = self._stray = self._keep = False
        self._bytes = 0
        # The reads in which the response's head came.
        self._opening: list[bytes] = []
        self._error_body = bytearray()
        self._bodies: list[bytes] = []
        self._unsent: bytes | memoryview = b""
        self._parser: Any = httptools.HttpResponseParser(self)
        self.closed = False
        self._reader = reader_of(made, self, receiver)
        loop.watch(self._fd, self._reader)

    # -- the reactor -----------------------------------------------------------------------------

    def leave(self, data: bytes, now_ns: int, late_ns: int) -> None:
        """A read that its reader did not take: looked at later, with its stamp."""
        if self._request is None:
            self.close()  # Nobody asked: what comes next could be taken for an answer.
            return
        self._loop.work.append((self._look, (data, now_ns, late_ns)))

    def _look(self, data: bytes, now_ns: int, late_ns: int) -> None:
        """Parse a read; what was kept behind it may go on."""
        request = self._request
        if self.closed or request is None:
            return
        self._now_ns = now_ns
        self._got_bytes = True
        self._bytes += len(data)
        if request.http_status < 0:
            self._opening.append(data)
        before, last = len(request.timestamps), b""
        try:
            self._parser.feed_data(data)
            if self._bodies:
                last = self._take_bodies(request)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"not HTTP: {error}")
        except ValueError as error:
            self._fail(f"unreadable response: {error}")
        else:
            if len(request.timestamps) - before > 1:
                self._receiver.merged.add(late_ns)
            if self._whole:
                self._finish(now_ns)
            elif request.reader.clean and _at_chunk_end(data, last):
                # Reader and parser stand between two chunks: they need not see plain tokens.
                self._reader.go_on(request.template(), request.timestamps)
            else:
                self._reader.go_on()

    def over(self, error: str, now_ns: int) -> None:
        """No more will come."""
        self._loop.work.append((self._end, (error, now_ns)))

    def _let_go(self) -> InFlightRequest | None:
        """The exchange is no longer this connection's; what was read for it is booked."""
        request, self._request = self._request, None
        if request is not None:
            request.bytes_in += self._bytes + self._reader.taken
            request.carrier = None
        self._bytes = self._reader.taken = 0
        self._unsent = b""
        return request

    def _end(self, error: str, now_ns: int) -> None:
        """The other side closed the connection, or it broke: end what was under way."""
        if self.closed:
            return
        framed, got_bytes, request = self._framed(), self._got_bytes, self._request
        self.close()
        if request is not None and request.status is None:
            if got_bytes and not framed and not error and request.http_status > 0:
                # A body without length or chunks ends with the connection.
                self._complete(request, now_ns)
            elif got_bytes or not request.reused:
                request.end(now_ns, Status.BROKEN, f"connection closed: {error or 'by server'}")
            else:
                self._pool.lost(self, request, error or "closed by server")

    def _framed(self) -> bool:
        """Whether the response's head says where its body ends."""
        head, rest = b"HTTP/1.1 1", b"".join(self._opening)
        while head[9:10] == b"1":  # An interim answer goes before the real one.
            head, _, rest = rest.partition(b"\r\n\r\n")
        head = head.lower()
        return any(b"\n" + name in head for name in _FRAMING)

    # -- httptools -------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A response begins: more than was asked for, where one is whole already."""
        self._stray = self._whole

    def on_headers_complete(self) -> None:
        """The status is known."""
        if self._request is not None:
            status = self._parser.get_status_code()
            # Below, the real answer is still to come.
            if status >= 200 and not self._stray:
                self._request.http_status = status

    def on_body(self, body: bytes) -> None:
        """Part of the body; the parts of one read are looked at together."""
        self._bodies.append(body)

    def _take_bodies(self, request: InFlightRequest) -> bytes:
        """Look at them; the last of them."""
        bodies = self._bodies
        last = bodies[-1]
        body = bodies[0] if len(bodies) == 1 else b"".join(bodies)
        bodies.clear()
        if request.http_status == 200:
            request.on_body(body, self._now_ns)
        elif len(self._error_body) < 500:
            self._error_body += body
        return last

    def on_message_complete(self) -> None:
        """The response is whole, unless it was an interim one."""
        if self._request is None or self._request.http_status < 0:
            return
        self._whole = True
        self._keep = self._parser.should_keep_alive()  # It forgets that once it returns.

    def _finish(self, now_ns: int) -> None:
        """The response is whole; the connection can carry another."""
        self._whole = False
        if self._stray:
            self._fail("unreadable response: more came than was asked for")
            return
        # Else the rest of the request would begin the next one, or what was read behind the
        # response would be taken for the next answer.
        reusable = not self._unsent and not self._reader.kept
        request = self._let_go()
        if reusable and self._keep:
            self._reader.go_on()
            self._pool.release(self)
        else:
            self.close()
        assert request is not None
        self._complete(request, now_ns)

    def _complete(self, request: InFlightRequest, now_ns: int) -> None:
        if request.http_status != 200:
            request.error = self._error_body[:500].decode(errors="replace")
        request.complete(now_ns)

    # -- the pool --------------------------------------------------------------------------------

    def send(self, request: InFlightRequest) -> None:
        """Write the request; the stamps are those of the write itself."""
        self._request = request
        request.carrier = self
        request.reused = self._used
        self._used = True
        self._got_bytes = False
        if self._opening:
            self._opening.clear()
        if self._error_body:
            self._error_body.clear()
        data = request.http_bytes
        request.sent_first_ns = self._reader.floor_ns = monotonic_ns()
        try:
            written = self._send(data)
        except self._again:
            written = 0
        except OSError as error:
            self.close()
            self._pool.lost(self, request, error.strerror or str(error))
            return
        request.sent_last_ns = monotonic_ns()
        if written < len(data):
            self._unsent = memoryview(data)[written:]
            self._loop.watch(self._fd, self._reader, READ | WRITE)

    def write_on(self) -> None:
        """More of a request that did not fit the socket's buffer."""
        try:
            written = self._send(self._unsent) if self._unsent else 0
        except self._again:
            return
        except OSError:
            # Reading tells the end, and before it what the server said: that it was too large.
            self._loop.watch(self._fd, self._reader)
            return
        self._unsent = self._unsent[written:]
        if self._request is not None:
            self._request.sent_last_ns = monotonic_ns()
        if not self._unsent:
            self._loop.watch(self._fd, self._reader)

    def close(self) -> None:
        """Close it; what is under way is ended by the caller. May be called twice."""
        self._let_go()
        if not self.closed:
            self.closed = True
            self._loop.forget(self._fd)
            self._socket.close()
            self._pool.lost(self, None, "closed")

    def _fail(self, reason: str) -> None:
        request = self._request
        self.close()
        if request is not None:
            request.end(self._now_ns, Status.BROKEN, reason)
