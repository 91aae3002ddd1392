"""The reference server: answers on a schedule, and writes down when it really sent each token.

``python -m tokenbench.calibrate.server --port N --truth FILE``: ``POST /v1/completions``, streamed.
Token i of a request is due at arrival + ttft + i * itl; its stamp (CLOCK_MONOTONIC, the clock of
the load workers) is taken right before the write, so no client on this host can honestly read it
earlier. A request's id is the number behind the '#' with which its prompt begins. SIGTERM ends the
server, which then writes the truth; see :mod:`tokenbench.calibrate.ground_truth` for the file.

One thread and one heap for all streams; the last microseconds before a token is due are spent
looking at the clock, because a sleeping core wakes late. It wants a core of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import heapq
import os
import resource
import signal
import socket
import struct
import sys
from array import array
from pathlib import Path
from time import monotonic_ns
from typing import Any

import httptools
import msgspec

from tokenbench.load.event_loop import EventLoop
from tokenbench.load.poller import READ, WRITE
from tokenbench.load.timers import Timers

MAGIC = b"TBTRUTH1"
HEAD = struct.Struct("<8sqqq")
ROW = struct.Struct("<qqIIIIII")
# The wake-up of an idle core took 20 to 60 us where this was written (2 cores, KVM).
_SPIN_NS = 100_000
# A look at the sockets costs about this much.
_POLL_NS = 20_000
# Tokens sent before sockets are looked at again.
_BATCH = 64

_EVENT = (
    'data: {"id":"cmpl-0123456789abcdef","object":"text_completion","created":1760000000,'
    '"model":"reference","choices":['
)
_CHOICE = '{"index":0,"text":" word","logprobs":null,"finish_reason":%s}],"usage":null}\n\n'


def _chunk(text: str) -> bytes:
    return b"%x\r\n%s\r\n" % (len(text), text.encode())


_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
_TOKEN = _chunk(_EVENT + _CHOICE % "null")


def _ending(n_in: int, n_out: int) -> bytes:
    """The last token, the usage, the end mark, the end of the body: one write."""
    usage = f'{{"prompt_tokens":{n_in},"total_tokens":{n_in + n_out},"completion_tokens":{n_out}}}'
    return (
        _chunk(_EVENT + _CHOICE % '"length"')
        + _chunk(f'{_EVENT}],"usage":{usage}}}\n\n')
        + _chunk("data: [DONE]\n\n")
        + b"0\r\n\r\n"
    )


class _Request(msgspec.Struct):
    """What of a request's body the server looks at."""

    prompt: str = ""
    max_tokens: int = 0
    stream: bool = False


class _Stream:
    """One answer under way: `at` is the index of its next token, `end` that behind its last."""

    __slots__ = ("arrival_ns", "at", "blocked", "connection", "end", "ending", "fd", "gone", "id")

    def __init__(
        self, connection: _Connection, number: int, ending: bytes, span: tuple[int, int]
    ) -> None:
        self.connection = connection
        self.fd = connection.fd
        self.id = number
        self.ending = ending
        self.at, self.end = span
        self.arrival_ns = connection.arrival_ns
        self.blocked = 0
        self.gone = False


def _put(stream: _Stream, data: bytes) -> None:
    """Write at once; what the socket does not take waits, and what follows queues behind it.

    That a peer is gone is told by its connection, soon.
    """
    try:
        written = 0 if stream.blocked else os.write(stream.fd, data)
    except OSError:
        written = 0
    if written < len(data):
        stream.blocked += 1
        stream.connection.write(data[written:])


class _Server:
    """Every stream's schedule, and what was done about it."""

    def __init__(self, asked: argparse.Namespace, reactor: EventLoop) -> None:
        self.tokens: int = asked.tokens
        self.ttft_ns = round(asked.ttft_s * 1e9)
        self.itl_ns = round(asked.itl_s * 1e9)
        self.send_ns = array("q", bytes(8 * asked.capacity))
        self.used = 0
        self.streams: list[tuple[int, _Stream]] = []
        self.connections = 0
        self._reactor = reactor
        self._timers = Timers(reactor)
        self._heap: list[tuple[int, int, _Stream]] = []
        self._armed_ns = 0
        self._coming = False

    def begin(self, connection: _Connection, request: _Request) -> _Stream | None:
        """Put a request on the schedule; None where there is no room to note its tokens."""
        count = request.max_tokens or self.tokens
        start, end = self.used, self.used + count
        if end > len(self.send_ns):
            return None
        self.used = end
        number = request.prompt.split(" ", 1)[0].removeprefix("#")
        stream = _Stream(
            connection,
            int(number) if number.isdecimal() else -1,
            _ending(len(request.prompt.split()), count),
            (start, end),
        )
        order = len(self.streams)
        self.streams.append((start, stream))
        due_ns = stream.arrival_ns + self.ttft_ns
        heapq.heappush(self._heap, (due_ns, order, stream))
        _put(stream, _HEAD)
        self._arm(due_ns)
        return stream

    def _arm(self, due_ns: int) -> None:
        if not self._armed_ns or due_ns < self._armed_ns:
            self._armed_ns = due_ns
            self._timers.at(due_ns - _SPIN_NS, self._wake, due_ns)

    def _wake(self, due_ns: int) -> None:
        if due_ns == self._armed_ns:
            self._armed_ns = 0
        self._send_due()

    def _send_due(self) -> None:
        """Send what is due, and what is so nearly due that a look at the sockets is too long."""
        self._coming = False
        heap, now, itl_ns, put = self._heap, monotonic_ns, self.itl_ns, _put
        send_ns, left = self.send_ns, _BATCH
        while heap:
            due_ns, order, stream = heap[0]
            stamp_ns = now()
            if stamp_ns < due_ns:
                if due_ns - stamp_ns < _POLL_NS:
                    continue
                break
            if stream.gone:
                heapq.heappop(heap)
                continue
            at = stream.at
            stream.at = at + 1
            send_ns[at] = stamp_ns
            if at + 1 < stream.end:
                heapq.heapreplace(heap, (due_ns + itl_ns, order, stream))
                data = _TOKEN
            else:
                heapq.heappop(heap)
                data = stream.ending
                stream.connection.stream = None
            put(stream, data)
            left -= 1
            if not left:
                break
        if heap:
            self._come_back(heap[0][0])

    def _come_back(self, due_ns: int) -> None:
        """By the timer; or at once, behind a look at the sockets: who comes must be read too."""
        if due_ns - monotonic_ns() > _SPIN_NS:
            self._arm(due_ns)
        elif not self._coming:
            self._coming = True
            self._reactor.soon(self._send_due)

    def write_truth(self, file: Path) -> None:
        """Head, rows, stamps; see :mod:`tokenbench.calibrate.ground_truth`."""
        rows, sends = bytearray(), array("q")
        for start, stream in self.streams:
            sent, asked = stream.at - start, stream.end - start
            numbers = (stream.connection.number, 0, asked, sent, 0, stream.blocked)
            rows += ROW.pack(stream.id, stream.arrival_ns, *numbers)
            sends += self.send_ns[start : stream.at]
        if sys.byteorder == "big":
            sends.byteswap()
        with file.open("wb") as out:
            out.write(HEAD.pack(MAGIC, self.ttft_ns, self.itl_ns, len(self.streams)))
            out.write(rows)
            out.write(sends)


class _Connection:
    """A client's connection: one request at a time."""

    def __init__(self, server: _Server, reactor: EventLoop, made: socket.socket) -> None:
        self._server = server
        self._reactor = reactor
        self._socket = made
        self._parser: Any = httptools.HttpRequestParser(self)
        self._body = bytearray()
        self._url = b""
        self._unsent = bytearray()
        self.number = server.connections
        self.fd = made.fileno()
        self.arrival_ns = 0
        self.stream: _Stream | None = None
        server.connections += 1
        reactor.watch(self.fd, self._ready)

    def _ready(self, mask: int) -> None:
        """Stamp, then parse."""
        if mask & WRITE:
            self.write(b"")
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.arrival_ns = monotonic_ns()
        if not data:
            self._close()  # The client is gone; its number may soon be another socket's.
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._close()

    def on_url(self, url: bytes) -> None:
        """The path."""
        self._url = url

    def on_body(self, body: bytes) -> None:
        """Part of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """The request is whole."""
        body = bytes(self._body)
        self._body.clear()
        if self._url != b"/v1/completions" or self.stream is not None:
            self._refuse(b"404 Not Found")
            return
        try:
            request = msgspec.json.decode(body, type=_Request)
        except msgspec.MsgspecError:
            request = _Request()
        if not request.stream or request.max_tokens < 0:
            self._refuse(b"400 Bad Request")
            return
        self.stream = self._server.begin(self, request)
        if self.stream is None:
            self._refuse(b"503 Service Unavailable")

    def write(self, data: bytes) -> None:
        """Behind whatever waits already. That the peer is gone is told by the next read."""
        self._unsent += data
        with contextlib.suppress(OSError):
            del self._unsent[: self._socket.send(self._unsent)]
        self._reactor.watch(self.fd, self._ready, READ | WRITE if self._unsent else READ)

    def _refuse(self, status: bytes) -> None:
        self.write(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % status)

    def _close(self) -> None:
        self._reactor.forget(self.fd)
        self._socket.close()
        if self.stream is not None:
            self.stream.gone = True
            self.stream = None


def _allow_many_files() -> None:
    """A stream is a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 1 << 20)), hard))


def _listen(reactor: EventLoop, server: _Server, port: int) -> socket.socket:
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    listener.setblocking(False)

    def accept(_: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                made, _address = listener.accept()
                made.setblocking(False)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _Connection(server, reactor, made)

    reactor.watch(listener.fileno(), accept)
    return listener


def _serve(asked: argparse.Namespace) -> None:
    """Until a signal says that it is enough; a signal wakes the poll through a socket."""
    ended: list[int] = []
    heard, told = socket.socketpair()
    for end in (heard, told):
        end.setblocking(False)
    signal.set_wakeup_fd(told.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: ended.append(number))
    reactor = EventLoop()
    reactor.watch(heard.fileno(), lambda _: None)
    server = _Server(asked, reactor)
    listener = _listen(reactor, server, asked.port)
    # Nothing here makes cycles that matter within one step, and a collection costs milliseconds.
    gc.collect()
    gc.freeze()
    gc.disable()
    reactor.run_until(lambda: bool(ended))
    listener.close()
    server.write_truth(asked.truth)


def parser() -> argparse.ArgumentParser:
    """The server's options."""
    found = argparse.ArgumentParser(prog="tokenbench.calibrate.server")
    found.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    found.add_argument("--truth", type=Path, required=True, help="file to write at the end")
    found.add_argument("--ttft-s", type=float, default=0.05)
    found.add_argument("--itl-s", type=float, default=0.01)
    found.add_argument("--tokens", type=int, default=128, help="where a request asks for none")
    found.add_argument("--capacity", type=int, default=1_000_000, help="tokens that can be noted")
    return found


def main() -> None:
    """Serve until SIGTERM, then write the truth."""
    asked = parser().parse_args()
    _allow_many_files()
    _serve(asked)


if __name__ == "__main__":
    main()
