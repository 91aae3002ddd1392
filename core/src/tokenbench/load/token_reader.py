"""Reads from a connection: plain tokens are timestamped at once, the rest goes to its owner.

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
    """What a reader needs of its connection."""

    def leave(self, data: bytes, now_ns: int, late_ns: int) -> None:
        """Take a read that is not plain tokens, with its timestamp and how late it may be.

        Later reads are kept until the owner calls :meth:`TokenReader.go_on`.
        """

    def over(self, error: str, now_ns: int) -> None:
        """Nothing more will arrive and nothing is kept; `error` is empty for an orderly close.

        The descriptor is no longer watched.
        """

    def write_on(self) -> None:
        """The socket has room to write."""


class TokenReader:
    """The poll handler of one connection.

    `floor_ns`: no timestamp is earlier, nor earlier than the one before. `taken`: bytes of the
    reads recognised as tokens. `kept`: reads (and the end) waiting behind one that the owner has.
    """

    __slots__ = (
        "_end",
        "_kept",
        "_owner",
        "_read",
        "_receiver",
        "_socket",
        "_template",
        "_timestamps",
        "_waiting",
        "_would_block",
        "floor_ns",
        "taken",
    )

    def __init__(self, made: socket.socket, owner: Owner, receiver: Receiver) -> None:
        self._socket = made
        self._read = receiver.reader(made)
        self._owner = owner
        self._receiver = receiver
        self._would_block = would_block(made)
        self._template: ChunkTemplate | None = None
        self._timestamps: Timestamps | None = None
        self._waiting = False
        self._kept: deque[tuple[bytes, int, int]] = deque()
        self._end: tuple[str, int] | None = None
        self.floor_ns = self.taken = 0

    @property
    def kept(self) -> int:
        """See the class."""
        return len(self._kept) + (self._end is not None)

    def go_on(
        self, template: ChunkTemplate | None = None, timestamps: Timestamps | None = None
    ) -> None:
        """The owner is done with the read it was given.

        From here on, and in what was kept, reads that fit `template` are tokens; their timestamps
        are appended to `timestamps`.
        """
        self._waiting = False
        self._template, self._timestamps = template, timestamps
        while self._kept and not self._waiting:
            self._take(*self._kept.popleft())
        if self._end is not None and not self._waiting:
            end, self._end = self._end, None
            self._owner.over(*end)

    def __call__(self, mask: int) -> None:
        """Read once, after writing where there is room for it."""
        if mask & WRITE:
            self._owner.write_on()
        try:
            data, now_ns = self._read()
        except self._would_block:
            return
        except OSError as error:
            self._over(error.strerror or str(error))
            return
        # Bytes may have been there before the request was sent, or the wall clock was set back.
        now_ns = self.floor_ns = max(now_ns, self.floor_ns)
        if data:
            self._take(data, now_ns, self._receiver.poller.late_ns(now_ns))
        else:
            self._over("")

    def _take(self, data: bytes, now_ns: int, late_ns: int) -> None:
        if self._waiting:
            self._kept.append((data, now_ns, late_ns))
            return
        count = 0 if self._template is None else self._template.count(data)
        if not count:
            self._waiting = True
            self._owner.leave(data, now_ns, late_ns)
            return
        assert self._timestamps is not None
        for _ in range(count):
            self._timestamps.append(now_ns)
        self.taken += len(data)
        if count > 1:
            self._receiver.merged.add(late_ns)

    def _over(self, error: str) -> None:
        self._receiver.poller.forget(self._socket.fileno())
        end = (error, monotonic_ns())
        if self._waiting:
            self._end = self._end or end
        else:
            self._owner.over(*end)


def reader_of(made: socket.socket, owner: Owner, receiver: Receiver) -> TokenReader:
    """A reader of this socket: the compiled one where possible (TLS sockets need Python's)."""
    if type(made) is socket.socket and native.compiled(receiver.poller):
        receiver.ask(made)
        return native.reader(made.fileno(), owner, receiver)
    return TokenReader(made, owner, receiver)


def would_block(made: socket.socket) -> tuple[type[OSError], ...]:
    """The exceptions of a socket that has nothing to read, or no room to write."""
    if type(made) is socket.socket:
        return (BlockingIOError, InterruptedError)
    import ssl

    return (ssl.SSLWantReadError, ssl.SSLWantWriteError)
