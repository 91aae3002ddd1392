"""Reads with the time at which their bytes arrived.

Linux timestamps each segment on arrival and reports it with the read (SO_TIMESTAMPNS, socket(7)).
So a timestamp does not depend on when this process reads. Two exceptions: of several segments in
one read, only the last one's time is reported (the check `coalesced reads` covers that); and a
segment that follows a lost one has its own arrival time, although it became readable only after
the retransmission. Under TLS, and on other systems, the timestamp is taken after the read.
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

# Larger than a TLS record: a rest of a record in the TLS layer would not be reported by a poll.
READ_BYTES = 65536

Read = Callable[[], tuple[bytes, int]]
"""Reads once. Returns the bytes (empty at the end of the stream) and their timestamp."""

# From asm-generic/socket.h of Linux, in case this Python's socket module lacks it.
_SO_TIMESTAMPNS = getattr(socket, "SO_TIMESTAMPNS", 35)
_TIMESPEC = struct.Struct("ll")
_SPACE = socket.CMSG_SPACE(_TIMESPEC.size) if hasattr(socket, "CMSG_SPACE") else 0


class Receiver:
    """Reads the sockets of one phase, and samples how late they were read.

    `kernel_timestamps`: all reads so far had one. `delays` samples how late reads may have been, in
    ns (:meth:`.poller.Poller.read_delay_ns`); `merged_delays` samples only reads of several tokens.

    Kernel timestamps are times of the wall clock; `clock` has its offset to the monotonic clock.
    The offset changes only when the wall clock is set, because both clocks are slewed alike.
    `clock_set_ns` is the largest change that :meth:`check_clock` found.
    """

    def __init__(self, loop: EventLoop) -> None:
        self.poller = loop.poller
        self.clock = read_clocks()
        self.clock_set_ns = 0
        self.kernel_timestamps = True
        self.delays = BoundedSample()
        self.merged_delays = BoundedSample()

    def read_function(self, sock: socket.socket) -> Read:
        """A function that reads this socket."""
        if self.enable_timestamps(sock):
            return lambda: self._read_with_timestamp(sock)
        return lambda: self._timestamp(sock.recv(READ_BYTES))

    def enable_timestamps(self, sock: socket.socket) -> bool:
        """Enable kernel timestamps; returns whether that was possible."""
        if type(sock) is not socket.socket or sys.platform != "linux":
            return False
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        except OSError:
            return False
        return True

    def check_clock(self) -> None:
        """Check whether the wall clock was set."""
        set_ns = read_clocks().offset_ns - self.clock.offset_ns
        if abs(set_ns) > abs(self.clock_set_ns):
            self.clock_set_ns = set_ns

    def _read_with_timestamp(self, sock: socket.socket) -> tuple[bytes, int]:
        data, ancillary, _, _ = sock.recvmsg(READ_BYTES, _SPACE)
        if not ancillary:
            return self._timestamp(data)
        seconds, rest_ns = _TIMESPEC.unpack(ancillary[0][2])
        arrived_ns = seconds * 1_000_000_000 + rest_ns - self.clock.offset_ns
        self.delays.add(self.poller.read_delay_ns(arrived_ns))
        return data, arrived_ns

    def _timestamp(self, data: bytes) -> tuple[bytes, int]:
        """Timestamp a read that has no kernel timestamp."""
        now_ns = monotonic_ns()
        if data:  # The end of a stream never has a kernel timestamp.
            self.kernel_timestamps = False
        self.delays.add(self.poller.read_delay_ns(now_ns))
        return data, now_ns
