"""The layout of records: what a load worker writes and what `measure` reads.

A phase (a warm-up or one repeat) leaves four files:

* ``records.bin``: one fixed-width row a turn, :data:`RECORD`;
* ``timestamps.bin`` and ``counts.bin``: arrival and tokens of each token-bearing chunk, those of a turn
  side by side, as columns of 64 and 32 bits; together the rows of :data:`CHUNK_FIELDS`;
* ``phase.json``: :class:`PhaseSummary`.

Workers after the first write ``records.N.bin`` and so on, with offsets of their own.

Timestamps are monotonic nanoseconds of the measuring host; -1 stands for "not measured" in these
files only. The layout is little-endian whatever the machine.
"""

from __future__ import annotations

import enum
import struct

import attrs

ABSENT = -1


class Status(enum.IntEnum):
    """How a turn ended; each failure has one class."""

    OK = 0
    CONNECT = 1
    TIMEOUT = 2
    HTTP = 3
    BROKEN = 4
    EMPTY = 5
    STALLED = 6
    ERROR_EVENT = 7
    CANCELLED = 8


class TokenSource(enum.IntEnum):
    """Who counted `n_in` and `n_out`."""

    NONE = 0
    USAGE = 1
    CHUNKS = 2
    TOKENIZER = 3


# name, struct code, meaning
RECORD_FIELDS: tuple[tuple[str, str, str], ...] = (
    ("session", "i", "number of the session in its phase"),
    ("turn", "i", "number of the turn in its session"),
    ("worker", "h", "number of the load worker"),
    ("status", "B", "Status"),
    ("http_status", "h", "HTTP status, -1 before there was one"),
    ("reused", "B", "1: the connection had carried a request before"),
    ("exact_output", "B", "1: exactly `asked_out` tokens were asked for"),
    ("token_source", "B", "TokenSource"),
    ("scheduled_ns", "q", "when it should have been sent"),
    ("sent_first_ns", "q", "first byte handed to the socket"),
    ("sent_last_ns", "q", "last byte handed to the socket"),
    ("first_ns", "q", "first chunk that carries a token"),
    ("last_ns", "q", "last chunk that carries a token"),
    ("end_ns", "q", "last byte of the response, or the failure"),
    ("n_in", "i", "prompt tokens by `token_source`"),
    ("n_out", "i", "generated tokens by `token_source`"),
    ("n_cached", "i", "prompt tokens read from a cache, as the server's usage says"),
    ("asked_in", "i", "prompt tokens as the workload asked"),
    ("asked_out", "i", "output limit as the workload asked"),
    ("chunks", "i", "token-bearing chunks"),
    ("chunk_offset", "q", "index of its first row in chunks.bin"),
    ("coalesced", "i", "token events that shared a socket read with an earlier one"),
    ("bytes_in", "q", "bytes read for the response, HTTP's own included"),
)

CHUNK_FIELDS: tuple[tuple[str, str, str], ...] = (
    ("ns", "q", "arrival of the chunk"),
    ("tokens", "i", "tokens in it, -1 where the server does not say"),
)

RECORD = struct.Struct("<" + "".join(code for _, code, _ in RECORD_FIELDS))


def numpy_layout(fields: tuple[tuple[str, str, str], ...]) -> list[tuple[str, str]]:
    """The same layout as a numpy dtype specification (packed, little-endian)."""
    kinds = {"i": "<i4", "h": "<i2", "B": "u1", "q": "<i8"}
    return [(name, kinds[code]) for name, code, _ in fields]


@attrs.frozen(kw_only=True)
class ClockPair:
    """The same instant on two clocks, to lay files of several hosts over each other."""

    wall_ns: int
    monotonic_ns: int

    @property
    def ahead_ns(self) -> int:
        """By how much the wall clock is ahead of the monotonic one; changes when it is set."""
        return self.wall_ns - self.monotonic_ns


@attrs.frozen(kw_only=True)
class PhaseSummary:
    """What a phase was, beside its records. Times are monotonic nanoseconds.

    `target_in_flight_ns` and `in_flight_ns` integrate the wanted and the real number of requests in
    flight over the dispatching time. `loop_delay_ns` holds percentiles (p50, p90, p99, max) of how
    late sockets may have been read: after the poll that reported them, or after the one before it
    where it did not wait. `merged_delay_ns` holds those (0 to 99, and the largest) of the reads
    that held several tokens. `kernel_timestamps`: the kernel stamped every read, so none of that delay
    is in a stamp, unless a read held several. `clock_set_ns`: the most by which somebody set the
    wall clock meanwhile, by which the kernel stamps. `compiled`: see native.py. `stopped_by` says
    what ended dispatching: duration, requests, output_tokens, sessions, schedule, stalled,
    cancelled, drain, fatal. Of several `workers`, `cpu_s`, `wall_s` and delays are those of the
    worst.
    """

    started_ns: int
    dispatch_ended_ns: int
    ended_ns: int
    clock_start: ClockPair
    clock_end: ClockPair
    stopped_by: str
    turns: int
    concurrency: int | None = None
    rate_per_s: float | None = None
    scheduled_turns: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    in_flight_ns: int = 0
    target_in_flight_ns: int = 0
    loop_delay_ns: tuple[int, ...] = ()
    merged_delay_ns: tuple[int, ...] = ()
    kernel_timestamps: bool = False
    compiled: bool = False
    clock_set_ns: int = 0
    max_rss_bytes: int = 0
    errors: tuple[str, ...] = ()
    workers: int = 1
