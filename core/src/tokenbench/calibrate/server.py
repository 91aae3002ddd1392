"""The reference server: sends tokens on a schedule and records when it sent each one.

``python -m tokenbench.calibrate.server --port N --truth FILE``: ``POST /v1/completions``, streamed.
Token i of a request is due at arrival + ttft + i * itl. The server timestamps it (CLOCK_MONOTONIC,
the clock of the load workers) right before the write, so no client on this host can read it
earlier. A prompt starts with '#' and the request's id. On SIGTERM the server writes the ground
truth, which :mod:`tokenbench.calibrate.ground_truth` reads, and exits.

One thread and one heap serve all streams. The server needs a core of its own: it busy-waits for the
last microseconds before a token is due, because a sleeping core wakes late.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import heapq
import os
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

from tokenbench.launch.limits import allow_many_files
from tokenbench.load.event_loop import EventLoop
from tokenbench.load.poller import READ, WRITE
from tokenbench.load.timers import Timers

MAGIC = b"TBTRUTH1"
HEAD = struct.Struct("<8sqqq")
ROW = struct.Struct("<qqIIIIII")
# Busy-wait before a token is due: waking an idle core takes 20 to 60 us (2 cores, KVM).
_SPIN_NS = 100_000
# Approximate cost of polling the sockets.
_POLL_NS = 20_000
# Tokens sent before polling the sockets again.
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
    """Last token, usage, ``[DONE]`` and end of the body, for a single write."""
    usage = f'{{"prompt_tokens":{n_in},"total_tokens":{n_in + n_out},"completion_tokens":{n_out}}}'
    return (
        _chunk(_EVENT + _CHOICE % '"length"')
        + _chunk(f'{_EVENT}],"usage":{usage}}}\n\n')
        + _chunk("data: [DONE]\n\n")
        + b"0\r\n\r\n"
    )


class _Request(msgspec.Struct):
    """The fields of a request's body that the server reads."""

    prompt: str = ""
    max_tokens: int = 0
    stream: bool = False


class _Stream:
    """One response stream: `at` is the index of its next token, `end` one past its last."""

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


def _send(stream: _Stream, data: bytes) -> None:
    """Write at once; the connection queues what the socket does not accept.

    A disconnect is detected by the connection's next read, not here.
    """
    try:
        written = 0 if stream.blocked else os.write(stream.fd, data)
    except OSError:
        written = 0
    if written < len(data):
        stream.blocked += 1
        stream.connection.write(data[written:])


class _Server:
    """The schedule of all streams and the timestamps of the tokens sent."""

    def __init__(self, options: argparse.Namespace, event_loop: EventLoop) -> None:
        self.tokens: int = options.tokens
        self.ttft_ns = round(options.ttft_s * 1e9)
        self.itl_ns = round(options.itl_s * 1e9)
        self.send_ns = array("q", bytes(8 * options.capacity))
        self.used = 0
        self.streams: list[tuple[int, _Stream]] = []
        self.connections = 0
        self._event_loop = event_loop
        self._timers = Timers(event_loop)
        self._heap: list[tuple[int, int, _Stream]] = []
        self._armed_ns = 0
        self._resuming = False

    def schedule(self, connection: _Connection, request: _Request) -> _Stream | None:
        """Schedule a request's tokens; None if the record has no room for them."""
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
        _send(stream, _HEAD)
        self._arm(due_ns)
        return stream

    def _arm(self, due_ns: int) -> None:
        if not self._armed_ns or due_ns < self._armed_ns:
            self._armed_ns = due_ns
            self._timers.call_at(due_ns - _SPIN_NS, self._wake, due_ns)

    def _wake(self, due_ns: int) -> None:
        if due_ns == self._armed_ns:
            self._armed_ns = 0
        self._send_due()

    def _send_due(self) -> None:
        """Send the tokens that are due. Busy-wait for those due before a poll would return."""
        self._resuming = False
        heap, now, itl_ns, send = self._heap, monotonic_ns, self.itl_ns, _send
        send_ns, left = self.send_ns, _BATCH
        while heap:
            due_ns, order, stream = heap[0]
            now_ns = now()
            if now_ns < due_ns:
                if due_ns - now_ns < _POLL_NS:
                    continue
                break
            if stream.gone:
                heapq.heappop(heap)
                continue
            at = stream.at
            stream.at = at + 1
            send_ns[at] = now_ns
            if at + 1 < stream.end:
                heapq.heapreplace(heap, (due_ns + itl_ns, order, stream))
                data = _TOKEN
            else:
                heapq.heappop(heap)
                data = stream.ending
                stream.connection.stream = None
            send(stream, data)
            left -= 1
            if not left:
                break
        if heap:
            self._resume(heap[0][0])

    def _resume(self, due_ns: int) -> None:
        """Send again by timer or, if a token is nearly due, right after polling the sockets."""
        if due_ns - monotonic_ns() > _SPIN_NS:
            self._arm(due_ns)
        elif not self._resuming:
            self._resuming = True
            self._event_loop.call_soon(self._send_due)

    def write_truth(self, file: Path) -> None:
        """Header, request rows, timestamps; read by :mod:`tokenbench.calibrate.ground_truth`."""
        rows, sends = bytearray(), array("q")
        for start, stream in self.streams:
            sent, requested = stream.at - start, stream.end - start
            counts = (stream.connection.number, 0, requested, sent, 0, stream.blocked)
            rows += ROW.pack(stream.id, stream.arrival_ns, *counts)
            sends += self.send_ns[start : stream.at]
        if sys.byteorder == "big":
            sends.byteswap()
        with file.open("wb") as out:
            out.write(HEAD.pack(MAGIC, self.ttft_ns, self.itl_ns, len(self.streams)))
            out.write(rows)
            out.write(sends)


class _Connection:
    """A client's connection; one request at a time."""

    def __init__(self, server: _Server, event_loop: EventLoop, sock: socket.socket) -> None:
        self._server = server
        self._event_loop = event_loop
        self._socket = sock
        self._parser: Any = httptools.HttpRequestParser(self)
        self._body = bytearray()
        self._url = b""
        self._unsent = bytearray()
        self.number = server.connections
        self.fd = sock.fileno()
        self.arrival_ns = 0
        self.stream: _Stream | None = None
        server.connections += 1
        event_loop.watch(self.fd, self._ready)

    def _ready(self, mask: int) -> None:
        """Timestamp the arrival, then parse."""
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
            self._close()  # From here on, the descriptor may be reused.
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._close()

    def on_url(self, url: bytes) -> None:
        """Parser callback: the path."""
        self._url = url

    def on_body(self, body: bytes) -> None:
        """Parser callback: a part of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Parser callback: the request is complete."""
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
        self.stream = self._server.schedule(self, request)
        if self.stream is None:
            self._refuse(b"503 Service Unavailable")

    def write(self, data: bytes) -> None:
        """Send after the data already queued. A disconnect is detected by the next read."""
        self._unsent += data
        with contextlib.suppress(OSError):
            del self._unsent[: self._socket.send(self._unsent)]
        self._event_loop.watch(self.fd, self._ready, READ | WRITE if self._unsent else READ)

    def _refuse(self, status: bytes) -> None:
        self.write(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % status)

    def _close(self) -> None:
        self._event_loop.unwatch(self.fd)
        self._socket.close()
        if self.stream is not None:
            self.stream.gone = True
            self.stream = None


def _listen(event_loop: EventLoop, server: _Server, port: int) -> socket.socket:
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    listener.setblocking(False)

    def accept(_: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _address = listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _Connection(server, event_loop, sock)

    event_loop.watch(listener.fileno(), accept)
    return listener


def _serve(options: argparse.Namespace) -> None:
    """Serve until a signal; the signal wakes the poll through a socket pair."""
    signals: list[int] = []
    wake_read, wake_write = socket.socketpair()
    for end in (wake_read, wake_write):
        end.setblocking(False)
    signal.set_wakeup_fd(wake_write.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: signals.append(number))
    event_loop = EventLoop()
    event_loop.watch(wake_read.fileno(), lambda _: None)
    server = _Server(options, event_loop)
    listener = _listen(event_loop, server, options.port)
    # A collection costs milliseconds; the few reference cycles of one level do not matter.
    gc.collect()
    gc.freeze()
    gc.disable()
    event_loop.run_until(lambda: bool(signals))
    listener.close()
    server.write_truth(options.truth)


def parser() -> argparse.ArgumentParser:
    """The server's command line."""
    arguments = argparse.ArgumentParser(prog="tokenbench.calibrate.server")
    arguments.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    arguments.add_argument("--truth", type=Path, required=True, help="file to write on exit")
    arguments.add_argument("--ttft-s", type=float, default=0.05)
    arguments.add_argument("--itl-s", type=float, default=0.01)
    arguments.add_argument("--tokens", type=int, default=128, help="default length of an answer")
    arguments.add_argument(
        "--capacity", type=int, default=1_000_000, help="largest number of tokens recorded"
    )
    return arguments


def main() -> None:
    """Serve until SIGTERM, then write the ground truth."""
    options = parser().parse_args()
    allow_many_files()
    _serve(options)


if __name__ == "__main__":
    main()
