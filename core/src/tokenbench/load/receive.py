"""Reads that say when their bytes came.

The kernel notes when a segment arrives and, where it is asked to (SO_TIMESTAMPNS of socket(7)),
tells with the read. So a stamp is right however late this process comes to read: whatever else it
was doing, or waited for, is not taken for the server's latency. With two exceptions: of several
segments in one read the kernel tells the last one's (`coalesced reads` watches that); and a segment
that came behind a lost one has its own stamp, though it could be read only when the other had been
sent again. Where the kernel does not tell (under TLS, which reads for itself, and on systems
without this), the stamp is the moment after the read.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable
from time import monotonic_ns

from .clocks import read_clocks
from .delays import Delays
from .reactor import Reactor

# All connections of a process read into the same room: a plain token is never copied out of it. It
# is larger than a TLS record, so that nothing of one is ever left inside the TLS layer.
ROOM = bytearray(65536)
_ROOMS = [ROOM]

Read = Callable[[], tuple[int, int]]
"""Reads into :data:`ROOM`: how many bytes (0: the end), and when they came, in monotonic ns."""

# asm-generic/socket.h of Linux; the socket module of this Python may not name it.
_SO_TIMESTAMPNS = getattr(socket, "SO_TIMESTAMPNS", 35)
_TIMESPEC = struct.Struct("ll")
_SPACE = socket.CMSG_SPACE(_TIMESPEC.size) if hasattr(socket, "CMSG_SPACE") else 0


class Receiver:
    """How the sockets of one phase are read.

    `kernel`: every read so far came with the kernel's stamp. `delays` samples how late reads may
    have been, in ns (:meth:`.poll.Poll.late_ns`), and `merged` those that held several tokens.

    The kernel stamps by the wall clock, whose distance to the monotonic one is that of `clock`. It
    changes only where somebody sets the clock, for both are slewed alike; `clock_set_ns` is the
    most that :meth:`look_at_clock` has found.
    """

    def __init__(self, reactor: Reactor) -> None:
        self.poll = reactor.poll
        self.clock = read_clocks()
        self.clock_set_ns = 0
        self.kernel = True
        self.delays = Delays()
        self.merged = Delays()

    def reader(self, made: socket.socket) -> Read:
        """What reads this socket."""
        return self._by_kernel(made) if self.ask(made) else self._by_itself(made)

    def ask(self, made: socket.socket) -> bool:
        """Ask the kernel for its stamps; whether it gives them."""
        if type(made) is not socket.socket or sys.platform != "linux":
            return False
        try:
            made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        except OSError:
            return False
        return True

    def look_at_clock(self) -> None:
        """See whether somebody has set the wall clock."""
        set_ns = read_clocks().ahead_ns - self.clock.ahead_ns
        if abs(set_ns) > abs(self.clock_set_ns):
            self.clock_set_ns = set_ns

    def _by_kernel(self, made: socket.socket) -> Read:
        receive, unpack, ahead_ns = made.recvmsg_into, _TIMESPEC.unpack, self.clock.ahead_ns
        poll = self.poll

        def read() -> tuple[int, int]:
            size, told, _, _ = receive(_ROOMS, _SPACE)
            if told:
                seconds, rest_ns = unpack(told[0][2])
                came_ns = seconds * 1_000_000_000 + rest_ns - ahead_ns
                if poll.timed:
                    self.delays.add(poll.late_ns(came_ns))
                return size, came_ns
            return self._stamped(size)

        return read

    def _by_itself(self, made: socket.socket) -> Read:
        receive = made.recv_into
        return lambda: self._stamped(receive(ROOM))

    def _stamped(self, size: int) -> tuple[int, int]:
        """A read of which nobody tells when its bytes came."""
        now_ns = monotonic_ns()
        if size:  # The end is no arrival, and has no stamp.
            self.kernel = False
        if self.poll.timed:
            self.delays.add(self.poll.late_ns(now_ns))
        return size, now_ns
