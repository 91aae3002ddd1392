"""Reading a connection: what is plainly a token is taken at once, the rest is its owner's.

Here for every system; where :mod:`.native` has it compiled, its twin in ``_native.c`` is used.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

from . import native
from .poll import READ, WRITE
from .receive import ROOM, Read, Receiver
from .stencil import Stencil, find_strange

_VIEW = memoryview(ROOM)
_begins, _ends = ROOM.startswith, ROOM.endswith
_NO_HEADS: dict[int, bytes] = {}
_NOWHERE: list[int] = []


class Owner(Protocol):
    """What a reader needs of its connection."""

    def leave(self, data: bytes, now_ns: int) -> None:
        """A read that is no plain token, or is of a length that has not come up yet."""

    def over(self, error: str) -> None:
        """No more will come; `error` is empty where that is the other side's will."""

    def write_on(self) -> None:
        """There is room to write."""


class TokenReader:
    """The handler of one connection's descriptor.

    `floor_ns`: no stamp is before it, nor before the last one. `taken`: bytes of the tokens that
    were taken.
    """

    __slots__ = (
        "_again",
        "_heads",
        "_owner",
        "_read",
        "_tail",
        "_token",
        "floor_ns",
        "taken",
    )

    def __init__(self, read: Read, owner: Owner, again: tuple[type[OSError], ...]) -> None:
        self._read = read
        self._owner = owner
        self._again = again
        self._heads: dict[int, bytes] = _NO_HEADS
        self._tail = b""
        self._token: Callable[[int], None] = _NOWHERE.append
        self.floor_ns = self.taken = 0

    def take(self, stencil: Stencil, stamps: list[int]) -> None:
        """From now on, reads that fit `stencil` are tokens; their stamps go to `stamps`."""
        self._heads, self._tail = stencil.heads, stencil.tail
        self._token = stamps.append

    def hold(self) -> None:
        """From now on, all is left."""
        self._heads = _NO_HEADS

    def __call__(self, mask: int) -> None:
        """Read; look only for what is plainly a token. This is all that runs for most tokens, so it
        is short rather than pretty: a line here costs more than anything else in this package.
        """
        if mask != READ and mask & WRITE:
            self._owner.write_on()
        read = self._read
        try:
            size, now_ns = read()
        except self._again:
            return
        except OSError as error:
            self._owner.over(error.strerror or str(error))
            return
        # Bytes may have lain there before anything was asked, or have come behind lost ones; or
        # somebody set the clock back. No latency and no gap is negative for that.
        if now_ns < self.floor_ns:
            now_ns = self.floor_ns
        else:
            self.floor_ns = now_ns
        head = self._heads.get(size)
        if (
            head is not None
            and _begins(head)
            and _ends(self._tail, 0, size)
            and find_strange(ROOM, len(head), size - len(self._tail)) is None
        ):
            token = self._token
            token(now_ns)
            self.taken += size
        elif size:
            self._owner.leave(bytes(_VIEW[:size]), now_ns)
        else:
            self._owner.over("")


def reader_of(made: socket.socket, owner: Owner, receiver: Receiver) -> TokenReader:
    """What reads this connection: the compiled one where it can (TLS reads for itself)."""
    read = receiver.reader(made)
    if type(made) is socket.socket and native.compiled(receiver.poll):
        return native.reader(made.fileno(), owner, receiver)
    return TokenReader(read, owner, would_block(made))


def would_block(made: socket.socket) -> tuple[type[OSError], ...]:
    """What a socket raises where there is nothing to read, or no room to write."""
    if type(made) is socket.socket:
        return (BlockingIOError, InterruptedError)
    import ssl

    return (ssl.SSLWantReadError, ssl.SSLWantWriteError)
