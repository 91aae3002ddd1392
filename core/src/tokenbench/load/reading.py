"""Reading a connection: what is plainly a token is taken at once, the rest is its owner's.

Here for every system; where :mod:`.native` has it compiled, its twin in ``_native.c`` is used.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from time import monotonic_ns
from typing import Protocol

from . import native
from .poll import READ, WRITE
from .receive import ROOM, Receiver
from .stamps import Stamps
from .stencil import Stencil, find_strange

_VIEW = memoryview(ROOM)
_begins, _ends = ROOM.startswith, ROOM.endswith
_NO_HEADS: dict[int, bytes] = {}
_NOWHERE = Stamps("q")


class Owner(Protocol):
    """What a reader needs of its connection."""

    def leave(self, data: bytes, now_ns: int, late_ns: int) -> None:
        """A read that is no plain token, its stamp, and how late it may be. What comes behind it is
        kept until the owner has looked at it and says so.
        """

    def over(self, error: str, now_ns: int) -> None:
        """No more will come, and nothing is kept; `error` is empty where that is the other side's
        will. The descriptor is watched no more.
        """

    def write_on(self) -> None:
        """There is room to write."""


class TokenReader:
    """The handler of one connection's descriptor.

    `floor_ns`: no stamp is before it, nor before the last one. `taken`: bytes of the tokens that
    were taken. `kept`: how much there is behind what was left, reads and the end.
    """

    __slots__ = (
        "_again",
        "_end",
        "_fileno",
        "_heads",
        "_kept",
        "_owner",
        "_read",
        "_receiver",
        "_stencil",
        "_tail",
        "_token",
        "_waiting",
        "floor_ns",
        "taken",
    )

    def __init__(self, made: socket.socket, owner: Owner, receiver: Receiver) -> None:
        self._read = receiver.reader(made)
        self._fileno = made.fileno
        self._owner = owner
        self._receiver = receiver
        self._again = would_block(made)
        self._stencil: Stencil | None = None
        self._heads: dict[int, bytes] = _NO_HEADS
        self._tail = b""
        self._token: Callable[[int], None] = _NOWHERE.append
        self._waiting = False
        self._kept: deque[tuple[bytes, int, int]] = deque()
        self._end: tuple[str, int] | None = None
        self.floor_ns = self.taken = 0

    @property
    def kept(self) -> int:
        """See above."""
        return len(self._kept) + (self._end is not None)

    def go_on(self, stencil: Stencil | None = None, stamps: Stamps = _NOWHERE) -> None:
        """The owner has looked at what was left. From now on, and in what was kept, reads that fit
        `stencil` are tokens; their stamps go to `stamps`.
        """
        self._waiting = False
        self._stencil = stencil
        self._heads = _NO_HEADS
        if stencil is not None:
            self._heads, self._tail = stencil.heads, stencil.tail
        self._token = stamps.append
        while self._kept and not self._waiting:
            self._take(*self._kept.popleft())
        if self._end is not None and not self._waiting:
            end, self._end = self._end, None
            self._owner.over(*end)

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
            self._over(error.strerror or str(error))
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
            self._take(bytes(_VIEW[:size]), now_ns, self._receiver.poll.late_ns(now_ns))
        else:
            self._over("")

    def _take(self, data: bytes, now_ns: int, late_ns: int) -> None:
        """A read that is not one token of a length that has come up."""
        if self._waiting:
            self._kept.append((data, now_ns, late_ns))
            return
        count = 0 if self._stencil is None else self._stencil.count(data)
        if not count:
            self._waiting, self._heads = True, _NO_HEADS
            self._owner.leave(data, now_ns, late_ns)
            return
        for _ in range(count):
            self._token(now_ns)
        self.taken += len(data)
        if count > 1:
            self._receiver.merged.add(late_ns)

    def _over(self, error: str) -> None:
        self._receiver.poll.forget(self._fileno())
        end = (error, monotonic_ns())
        if self._waiting:
            self._end = self._end or end
        else:
            self._owner.over(*end)


def reader_of(made: socket.socket, owner: Owner, receiver: Receiver) -> TokenReader:
    """What reads this connection: the compiled one where it can (TLS reads for itself)."""
    if type(made) is socket.socket and native.compiled(receiver.poll):
        receiver.ask(made)
        return native.reader(made.fileno(), owner, receiver)
    return TokenReader(made, owner, receiver)


def would_block(made: socket.socket) -> tuple[type[OSError], ...]:
    """What a socket raises where there is nothing to read, or no room to write."""
    if type(made) is socket.socket:
        return (BlockingIOError, InterruptedError)
    import ssl

    return (ssl.SSLWantReadError, ssl.SSLWantWriteError)
