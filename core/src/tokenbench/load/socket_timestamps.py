"""Reads with the time at which their bytes arrived.

Linux timestamps each segment on arrival and reports it with the read (SO_TIMESTAMPNS, socket(7)).
So a timestamp does not depend on when this process got around to reading. Two exceptions: of
several segments in one read, only the last one's time is reported (the check `coalesced reads`
covers that); and a segment behind a lost one keeps its own arrival time, although it became
readable only after the retransmission. Under TLS, and on other systems, the timestamp is taken
after the read.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable
from time import monotonic_ns

from .bounded_sample import BoundedSample
from .clocks import read_clocks
from .event_loop import EventLoop

# Larger than a TLS record, so that nothing stays behind in the TLS layer.
READ_BYTES = 65536

Read = Callable[[], tuple[bytes, int]]
"""Reads once: the bytes (empty at the end), and when they arrived, in monotonic ns."""

# asm-generic/socket.h of Linux; the socket module of this Python may not name it.
_SO_TIMESTAMPNS = getattr(socket, "SO_TIMESTAMPNS", 35)
_TIMESPEC = struct.Struct("ll")
_SPACE = socket.CMSG_SPACE(_TIMESPEC.size) if hasattr(socket, "CMSG_SPACE") else 0


class Receiver:
    """How the sockets of one phase are read.

    `kernel`: every read so far had a kernel timestamp. `delays` samples how late reads may have
    been, in ns (:meth:`.poller.Poller.late_ns`); `merged` those of reads with several tokens.

    The kernel uses the wall clock, `clock` its offset to the monotonic one. That offset changes
    only when the wall clock is set, because both are slewed alike; `clock_set_ns` is the largest
    change that :meth:`look_at_clock` found.
    """

    def __init__(self, loop: EventLoop) -> None:
        self.poller = loop.poller
        self.clock = read_clocks()
        self.clock_set_ns = 0
        self.kernel = True
        self.delays = BoundedSample()
        self.merged = BoundedSample()

    def reader(self, made: socket.socket) -> Read:
        """A function that reads this socket."""
        return self._by_kernel(made) if self.ask(made) else self._by_itself(made)

    def ask(self, made: socket.socket) -> bool:
        """Ask the kernel for timestamps; returns whether it gives them."""
        if type(made) is not socket.socket or sys.platform != "linux":
            return False
        try:
            made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        except OSError:
            return False
        return True

    def look_at_clock(self) -> None:
        """Check whether the wall clock was set."""
        set_ns = read_clocks().ahead_ns - self.clock.ahead_ns
        if abs(set_ns) > abs(self.clock_set_ns):
            self.clock_set_ns = set_ns

    def _by_kernel(self, made: socket.socket) -> Read:
        def read() -> tuple[bytes, int]:
            data, ancillary, _, _ = made.recvmsg(READ_BYTES, _SPACE)
            if not ancillary:
                return self._timestamped(data)
            seconds, rest_ns = _TIMESPEC.unpack(ancillary[0][2])
            came_ns = seconds * 1_000_000_000 + rest_ns - self.clock.ahead_ns
            self.delays.add(self.poller.late_ns(came_ns))
            return data, came_ns

        return read

    def _by_itself(self, made: socket.socket) -> Read:
        return lambda: self._timestamped(made.recv(READ_BYTES))

    def _timestamped(self, data: bytes) -> tuple[bytes, int]:
        """A read without a kernel timestamp."""
        now_ns = monotonic_ns()
        if data:  # The end is no arrival and has no timestamp.
            self.kernel = False
        self.delays.add(self.poller.late_ns(now_ns))
        return data, now_ns
