"""A keep-alive HTTP/1.1 connection. Reads are timestamped before anything is parsed."""

from __future__ import annotations

import socket
from time import monotonic_ns
from typing import Any, Protocol

import httptools

from tokenbench.launch.failure import compression, server_words
from tokenbench.launch.secret import redact

from .event_loop import EventLoop
from .poller import READ, WRITE
from .rate_limit import STATUS as RATE_LIMIT_STATUS
from .rate_limit import rate_limit, raw_headers
from .records import Status
from .request_state import InFlightRequest
from .socket_timestamps import Receiver
from .token_reader import make_reader, would_block_errors

_FRAMING_HEADERS = (b"content-length:", b"transfer-encoding:")
_MAX_ERROR_BYTES = 4096


class Pool(Protocol):
    """What a connection needs of the pool it belongs to. `hidden`: secrets that no error shows."""

    hidden: tuple[str, ...]

    def release(self, connection: Connection) -> None:
        """The connection is free for another request."""

    def discard(self, connection: Connection) -> None:
        """The connection was closed."""

    def retry(self, request: InFlightRequest, reason: str) -> None:
        """The connection of `request` was closed before any byte of the response arrived."""


def _ends_with_chunk(data: bytes, last_body: bytes) -> bool:
    """Whether a read ends at the end of an HTTP chunk whose last body part is `last_body`.

    A read that ends inside a chunk ends with `last_body` itself. If `last_body` consists of line
    ends only, both can be true; then the read is taken to end inside the chunk.
    """
    return last_body != b"" and data.endswith(last_body + b"\r\n") and not data.endswith(last_body)


class Connection:
    """Carries one request at a time; the owner of a :class:`.token_reader.TokenReader`."""

    __slots__ = (
        "_bodies",
        "_bytes_in",
        "_error_body",
        "_fd",
        "_head_reads",
        "_keep_alive",
        "_loop",
        "_now_ns",
        "_parser",
        "_pool",
        "_reader",
        "_receiver",
        "_request",
        "_response_complete",
        "_second_response",
        "_send",
        "_socket",
        "_unsent",
        "_used",
        "_would_block",
        "closed",
        "on_body",
    )

    def __init__(
        self, sock: socket.socket, receiver: Receiver, pool: Pool, loop: EventLoop
    ) -> None:
        self._socket = sock
        self._receiver = receiver
        self._send = sock.send
        self._fd = sock.fileno()
        self._would_block = would_block_errors(sock)
        self._pool = pool
        self._loop = loop
        self._request: InFlightRequest | None = None
        self._now_ns = 0
        self._used = False
        self._response_complete = self._second_response = self._keep_alive = False
        self._bytes_in = 0
        # The reads that contain the head of the response.
        self._head_reads: list[bytes] = []
        self._error_body = bytearray()
        # Body parts that the parser found in the current read.
        self._bodies: list[bytes] = []
        self.on_body = self._bodies.append  # The parser calls it.
        self._unsent: bytes | memoryview = b""
        self._parser: Any = httptools.HttpResponseParser(self)
        self.closed = False
        self._reader = make_reader(sock, self, receiver)
        loop.watch(self._fd, self._reader)

    # -- called by the token reader --------------------------------------------------------------

    def data_received(self, data: bytes, arrived_ns: int, delay_ns: int) -> None:
        """Parse the read later: other sockets are read first."""
        if self._request is None:
            # Without a request in flight, the bytes could be mistaken for the next response.
            self.close()
            return
        self._loop.deferred.append((self._parse, (data, arrived_ns, delay_ns)))

    def _parse(self, data: bytes, arrived_ns: int, delay_ns: int) -> None:
        request = self._request
        if request is None:
            return  # The connection was closed.
        self._now_ns = arrived_ns
        self._bytes_in += len(data)
        if request.http_status < 0:
            self._head_reads.append(data)
        before, last_body = len(request.timestamps), b""
        try:
            self._parser.feed_data(data)
            if self._bodies:
                last_body = self._take_bodies(request)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"not HTTP: {error}")
        except ValueError as error:
            self._fail(f"unreadable response: {error}")
        else:
            if len(request.timestamps) - before > 1:
                self._receiver.merged_delays.add(delay_ns)
            if self._response_complete:
                self._finish_response(arrived_ns)
            elif request.framing.between_events and _ends_with_chunk(data, last_body):
                # Framing and parser are between two chunks, so plain tokens may bypass them.
                self._reader.resume(request.template(), request.timestamps)
            else:
                self._reader.resume()

    def connection_lost(self, error: str, now_ns: int) -> None:
        """Handle the end later, after the reads before it."""
        self._loop.deferred.append((self._end, (error, now_ns)))

    def resume_writing(self) -> None:
        """Continue a request that did not fit into the socket's buffer."""
        try:
            written = self._send(self._unsent) if self._unsent else 0
        except self._would_block:
            return
        except OSError:
            # Stop writing. The next read reports the end, after any response, such as HTTP 413.
            self._loop.watch(self._fd, self._reader)
            return
        self._unsent = self._unsent[written:]
        if self._request is not None:
            self._request.sent_last_ns = monotonic_ns()
        if not self._unsent:
            self._loop.watch(self._fd, self._reader)

    def _end(self, error: str, now_ns: int) -> None:
        """The server closed the connection, or it broke: end the request in flight."""
        if self.closed:
            return
        framed, got_bytes, request = self._has_framed_body(), self._bytes_in > 0, self._request
        self.close()
        if request is not None and request.status is None:
            if got_bytes and not framed and not error and request.http_status > 0:
                # A body without length or chunks ends with the connection.
                self._complete(request, now_ns)
            elif got_bytes or not request.reused:
                request.end(now_ns, Status.BROKEN, f"connection closed: {error or 'by server'}")
            else:
                self._pool.retry(request, error or "closed by server")

    def _head(self) -> bytes:
        """The head of the response. Only failures need it, so it is not parsed as it arrives."""
        head, rest = b"HTTP/1.1 1", b"".join(self._head_reads)
        while head[9:10] == b"1":  # An interim response (1xx) precedes the final one.
            head, _, rest = rest.partition(b"\r\n\r\n")
        return head

    def _header(self, name: bytes) -> str | None:
        """The value of a header of the response."""
        for line in self._head().split(b"\r\n")[1:]:
            found, _, value = line.partition(b":")
            if found.lower() == name:
                return value.strip().decode("latin-1")
        return None

    def _has_framed_body(self) -> bool:
        """Whether the head of the response says where its body ends."""
        head = self._head().lower()
        return any(b"\n" + name in head for name in _FRAMING_HEADERS)

    def _compressed(self, request: InFlightRequest) -> str | None:
        """The error if the response has no token because its body is compressed."""
        if request.http_status != 200 or request.timestamps:
            return None
        return compression(self._header(b"content-encoding"), request.body_start)

    # -- called by httptools ---------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A response begins; a second one in the same read is an error of the server."""
        self._second_response = self._response_complete

    def on_headers_complete(self) -> None:
        """The status is known."""
        if self._request is not None:
            status = self._parser.get_status_code()
            # After an interim response (1xx), the final one follows.
            if status >= 200 and not self._second_response:
                self._request.http_status = status

    def _take_bodies(self, request: InFlightRequest) -> bytes:
        """Pass the body parts of a read to the request, together; returns the last part."""
        bodies = self._bodies
        last = bodies[-1]
        body = bodies[0] if len(bodies) == 1 else b"".join(bodies)
        bodies.clear()
        if request.http_status == 200:
            request.on_body(body, self._now_ns)
        elif len(self._error_body) < _MAX_ERROR_BYTES:
            self._error_body += body
        return last

    def on_message_complete(self) -> None:
        """The response is complete, unless it is an interim one."""
        if self._request is None or self._request.http_status < 0:
            return
        self._response_complete = True
        self._keep_alive = self._parser.should_keep_alive()  # Only valid in this callback.

    def _finish_response(self, now_ns: int) -> None:
        self._response_complete = False
        if self._second_response:
            self._fail("unreadable response: the server sent more than one response")
            return
        # The rest of the request would be read as the next request, and pending reads as the next
        # response.
        reusable = not self._unsent and not self._reader.pending
        request = self._detach()
        if reusable and self._keep_alive:
            self._reader.resume()
            self._pool.release(self)
        else:
            self.close()
        assert request is not None
        self._complete(request, now_ns)

    def _complete(self, request: InFlightRequest, now_ns: int) -> None:
        if request.http_status != 200:
            request.error = self._error_text(request.http_status)
        elif not request.timestamps and (compressed := self._compressed(request)) is not None:
            request.end(now_ns, Status.BROKEN, compressed)
        request.complete(now_ns)

    def _error_text(self, status: int) -> str:
        # Redacted before it is shortened: half a secret would not be recognised.
        body = redact(self._error_body.decode(errors="replace"), self._pool.hidden)
        location = self._header(b"location") if 300 <= status < 400 else None
        text = f"to {location}" if location else server_words(body)
        limit = rate_limit(raw_headers(self._head())) if status == RATE_LIMIT_STATUS else ""
        return f"{text} ({limit})" if limit else text

    # -- called by the pool ----------------------------------------------------------------------

    def send(self, request: InFlightRequest) -> None:
        """Send a request. Its timestamps are taken around the write; `sent_first_ns` is that of the
        first attempt.
        """
        self._request = request
        request.connection = self
        request.reused = self._used
        self._used = True
        if self._head_reads:
            self._head_reads.clear()
        if self._error_body:
            self._error_body.clear()
        data = request.http_bytes
        self._reader.floor_ns = monotonic_ns()
        if not request.retries:
            request.sent_first_ns = self._reader.floor_ns
        try:
            written = self._send(data)
        except self._would_block:
            written = 0
        except OSError as error:
            self.close()
            self._pool.retry(request, error.strerror or str(error))
            return
        request.sent_last_ns = monotonic_ns()
        if written < len(data):
            self._unsent = memoryview(data)[written:]
            self._loop.watch(self._fd, self._reader, READ | WRITE)

    def close(self) -> None:
        """Close the connection; the caller ends its request. May be called twice."""
        self._detach()
        if not self.closed:
            self.closed = True
            self._loop.unwatch(self._fd)
            self._socket.close()
            self._pool.discard(self)

    def _detach(self) -> InFlightRequest | None:
        """Detach the request from this connection, with the number of bytes read for it."""
        request, self._request = self._request, None
        if request is not None:
            request.bytes_in += self._bytes_in + self._reader.token_bytes
            request.connection = None
        self._bytes_in = self._reader.token_bytes = 0
        self._unsent = b""
        return request

    def _fail(self, reason: str) -> None:
        request = self._request
        self.close()
        if request is not None:
            reason = self._compressed(request) or reason
            request.end(self._now_ns, Status.BROKEN, reason)
