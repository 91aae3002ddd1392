"""Reads from a connection: plain tokens are timestamped at once, other reads go to its owner.

``_native.c`` has a faster :class:`TokenReader` with the same interface; see :mod:`.native`.
"""

from __future__ import annotations

import socket
from collections import deque
from time import monotonic_ns
from typing import Protocol

from . import native
from .chunk_template import ChunkTemplate
from .poller import WRITE
from .socket_timestamps import Receiver
from .timestamps import Timestamps


class Owner(Protocol):
    """The connection that a reader belongs to. Method names as in :class:`asyncio.Protocol`."""

    def data_received(self, data: bytes, arrived_ns: int, delay_ns: int) -> None:
        """Take a read that is not plain tokens; later reads wait for :meth:`TokenReader.resume`.

        Args:
            data: at least one byte.
            arrived_ns: the timestamp.
            delay_ns: how long the bytes may have waited, see :meth:`.poller.Poller.read_delay_ns`.
        """

    def connection_lost(self, error: str, now_ns: int) -> None:
        """Nothing more will arrive, and no read is pending; `error` is empty after a normal close.

        The descriptor is no longer watched.
        """

    def resume_writing(self) -> None:
        """The socket can take more data."""


class TokenReader:
    """The event handler of one connection.

    `floor_ns`: the previous timestamp or time of sending: no timestamp is earlier. `token_bytes`:
    bytes of the reads recognised as tokens. `pending`: reads (and the end) waiting for `resume`.
    """

    __slots__ = (
        "_end",
        "_owner",
        "_pending",
        "_read",
        "_receiver",
        "_socket",
        "_template",
        "_timestamps",
        "_waiting",
        "_would_block",
        "floor_ns",
        "token_bytes",
    )

    def __init__(self, sock: socket.socket, owner: Owner, receiver: Receiver) -> None:
        self._socket = sock
        self._read = receiver.read_function(sock)
        self._owner = owner
        self._receiver = receiver
        self._would_block = would_block_errors(sock)
        self._template: ChunkTemplate | None = None
        self._timestamps: Timestamps | None = None
        self._waiting = False
        self._pending: deque[tuple[bytes, int, int]] = deque()
        self._end: tuple[str, int] | None = None
        self.floor_ns = self.token_bytes = 0

    @property
    def pending(self) -> int:
        """See the class."""
        return len(self._pending) + (self._end is not None)

    def resume(
        self, template: ChunkTemplate | None = None, timestamps: Timestamps | None = None
    ) -> None:
        """Continue after the owner has handled its read.

        From now on, for pending reads too, reads that match `template` are tokens: their timestamps
        are appended to `timestamps`.
        """
        self._waiting = False
        self._template, self._timestamps = template, timestamps
        while self._pending and not self._waiting:
            self._process_read(*self._pending.popleft())
        if self._end is not None and not self._waiting:
            end, self._end = self._end, None
            self._owner.connection_lost(*end)

    def __call__(self, mask: int) -> None:
        """Handle an event: resume writing if possible, then read once."""
        if mask & WRITE:
            self._owner.resume_writing()
        try:
            data, arrived_ns = self._read()
        except self._would_block:
            return
        except OSError as error:
            self._process_end(error.strerror or str(error))
            return
        # Bytes may have arrived before the request was sent, or the wall clock was set back.
        arrived_ns = self.floor_ns = max(arrived_ns, self.floor_ns)
        if data:
            self._process_read(data, arrived_ns, self._receiver.poller.read_delay_ns(arrived_ns))
        else:
            self._process_end("")

    def _process_read(self, data: bytes, arrived_ns: int, delay_ns: int) -> None:
        if self._waiting:
            self._pending.append((data, arrived_ns, delay_ns))
            return
        count = 0 if self._template is None else self._template.count_tokens(data)
        if not count:
            self._waiting = True
            self._owner.data_received(data, arrived_ns, delay_ns)
            return
        assert self._timestamps is not None
        for _ in range(count):
            self._timestamps.append(arrived_ns)
        self.token_bytes += len(data)
        if count > 1:
            self._receiver.merged_delays.add(delay_ns)

    def _process_end(self, error: str) -> None:
        self._receiver.poller.unwatch(self._socket.fileno())
        end = (error, monotonic_ns())
        if self._waiting:
            self._end = self._end or end
        else:
            self._owner.connection_lost(*end)


def make_reader(sock: socket.socket, owner: Owner, receiver: Receiver) -> TokenReader:
    """A reader of this socket: compiled if possible. TLS sockets must be read in Python."""
    if type(sock) is socket.socket and native.is_compiled(receiver.poller):
        receiver.enable_timestamps(sock)
        return native.token_reader(sock.fileno(), owner, receiver)
    return TokenReader(sock, owner, receiver)


def would_block_errors(sock: socket.socket) -> tuple[type[OSError], ...]:
    """The exceptions that mean: nothing to read, or no room to write."""
    if type(sock) is socket.socket:
        return (BlockingIOError, InterruptedError)
    import ssl

    return (ssl.SSLWantReadError, ssl.SSLWantWriteError)
