"""Small servers on real sockets: a script handles each connection in a thread."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenbench.api import COMPLETIONS, Dialect, Session, Stop, Target
from tokenbench.load.codecs import find_codec
from tokenbench.load.event_loop import EventLoop
from tokenbench.load.job import LoadJob
from tokenbench.load.phase import Phase
from tokenbench.load.records import PhaseSummary, Status
from tokenbench.load.session_file import write_sessions
from tokenbench.store.records import read_raw

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


def events(tokens: int = 3) -> list[bytes]:
    """The events of a token stream: tokens, usage, end mark."""
    token = b'data: {"choices":[{"index":0,"text":" word","finish_reason":null}]}\n\n'
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":%d}}\n\n'
    return [*[token] * tokens, usage % tokens, b"data: [DONE]\n\n"]


def whole(body: bytes = b"".join(events()), head: bytes = OK) -> bytes:
    """A response with Content-Length."""
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(parts: list[bytes]) -> list[bytes]:
    """A response with one HTTP chunk per part, without the final empty chunk."""
    return [
        OK + b"Transfer-Encoding: chunked\r\n\r\n",
        *(b"%x\r\n%b\r\n" % (len(p), p) for p in parts),
    ]


class Peer:
    """The server's end of a connection; `number` counts the connections from 0."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.socket, self.number = sock, number
        self._rest = bytearray()

    def head(self) -> str:
        """The head of the next request; empty if the client closed the connection."""
        while (end := self._rest.find(b"\r\n\r\n")) < 0:
            data = self.socket.recv(65536)
            if not data:
                return ""
            self._rest += data
        text = self._rest[:end].decode()
        del self._rest[: end + 4]
        return text

    def request(self) -> bytes | None:
        """The body of the next request; None if the client closed the connection."""
        length = re.search(r"(?i)content-length: (\d+)", self.head())
        if length is None:
            return None
        return self.body(int(length[1]))

    def body(self, wanted: int) -> bytes:
        """So many bytes after a head."""
        while len(self._rest) < wanted:
            data = self.socket.recv(65536)
            if not data:
                raise AssertionError("the client closed in the middle of a request")
            self._rest += data
        body = bytes(self._rest[:wanted])
        del self._rest[:wanted]
        return body

    def send(self, *parts: bytes) -> None:
        """Send each part with a write of its own."""
        for part in parts:
            self.socket.sendall(part)

    def until_closed(self) -> None:
        """Read and ignore data until the client closes the connection."""
        while self.socket.recv(65536):
            pass

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


Script = Callable[[Peer], None]


def answer_all(peer: Peer) -> None:
    """The script of a correct server."""
    while peer.request() is not None:
        peer.send(whole())


class Server:
    """Runs `script` for each connection in a thread, then closes the connection."""

    def __init__(
        self,
        script: Script,
        *,
        tls: ssl.SSLContext | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        self._script, self._tls = script, tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        if receive_buffer is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.connections = 0
        self.failures: list[BaseException] = []
        self._peers: list[Peer] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        # `close` shuts the listener down, which raises here.
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peer = Peer(sock, self.connections)
                self._peers.append(peer)
                self.connections += 1
                self._threads.append(threading.Thread(target=self._play, args=(peer,)))
                self._threads[-1].start()

    def _play(self, peer: Peer) -> None:
        try:
            # Some tests make the client break the connection.
            with contextlib.suppress(OSError):
                if self._tls is not None:
                    peer.socket = self._tls.wrap_socket(peer.socket, server_side=True)
                self._script(peer)
        except BaseException as error:
            self.failures.append(error)
        finally:
            peer.socket.close()

    def close(self) -> None:
        """Stop the server, its connections and its threads."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(10)
        self._listener.close()
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join(10)
            assert not thread.is_alive(), "a script did not end"


class PhaseResult:
    """The summary and the records of a phase, and how many requests were retried."""

    def __init__(self, summary: PhaseSummary, records: Any) -> None:
        self.summary, self.records, self.retries = summary, records, summary.retries
        self.statuses = [Status(int(status)).name for status in records["status"]]
        self.reused = [int(reused) for reused in records["reused"]]
        self.errors = summary.errors


def run_phase_here(
    url: str,
    folder: Path,
    sessions: list[Session],
    *,
    concurrency: int = 1,
    stop: Stop | None = None,
    loop: EventLoop | None = None,
    codec: str = COMPLETIONS,
    dialect: Dialect | None = None,
    **options: Any,
) -> PhaseResult:
    """Run a phase in this process, one session after the other by default."""
    job = LoadJob(
        url=url,
        codec=codec,
        model="scripted",
        dialect=dialect or Dialect(codecs=(codec,)),
        sessions=str(folder / "sessions"),
        output=str(folder),
        stop=stop or Stop(requests=1000),
        concurrency=concurrency,
        request_timeout_s=20.0,  # A test fails instead of hanging.
        **options,
    )
    target = Target(model=job.model, dialect=job.dialect)
    write_sessions(sessions, find_codec(job.codec, None), target, [folder / "sessions"])
    phase = Phase(job, lambda _: None)
    phase.start()
    with contextlib.closing(loop or EventLoop()) as used:
        summary = phase.run(used)
    return PhaseResult(summary, read_raw(folder)[0])
