"""The layout of records: what a load worker writes and what `measure` reads.

A phase (a warm-up or one repeat) leaves these files:

* ``records.bin``: one fixed-width row per turn, see :data:`RECORD_FIELDS`;
* ``sessions.bin``: one fixed-width row per session that is not a single request, see
  :data:`SESSION_FIELDS`; missing if there is none;
* ``timestamps.bin`` and ``counts.bin``: the two columns of :data:`CHUNK_FIELDS`, 64 and 32 bits
  wide, one row per token-bearing chunk; the chunks of a turn are adjacent;
* ``phase.json``: :class:`PhaseSummary`.

Worker N of several, N > 0, writes ``records.N.bin`` and so on; its offsets refer to its own files.

Timestamps are monotonic nanoseconds of the measuring host; -1 means "not measured". All values are
little-endian.
"""

from __future__ import annotations

import enum
import struct
import zlib

import attrs

ABSENT = -1


class Status(enum.IntEnum):
    """How a turn ended."""

    OK = 0
    CONNECT = 1
    TIMEOUT = 2
    HTTP = 3
    BROKEN = 4
    EMPTY = 5
    STALLED = 6
    ERROR_EVENT = 7
    CANCELLED = 8
    RATE_LIMITED = 9
    OVERFLOW = 10
    """The prompt did not fit into the server's context."""
    PARENT_FAILED = 11
    """Not sent, because a turn that it waited for failed."""


class Finish(enum.IntEnum):
    """Why the server ended an answer, by the finish reason it sent."""

    NONE = 0
    STOP = 1
    LENGTH = 2
    TOOL_CALLS = 3
    CONTENT_FILTER = 4
    OTHER = 5


FINISHES = {
    "stop": Finish.STOP,
    "length": Finish.LENGTH,
    "tool_calls": Finish.TOOL_CALLS,
    "function_call": Finish.TOOL_CALLS,
    "content_filter": Finish.CONTENT_FILTER,
}
"""The finish reasons of the OpenAI API reference (read 2026-11)."""


class SessionStatus(enum.IntEnum):
    """How a session ended."""

    COMPLETE = 0
    """By itself, and every turn succeeded."""
    FAILED = 1
    """A turn failed, or was not sent because another one failed."""
    OVERFLOW = 2
    """A prompt did not fit into the server's context."""
    CUT = 3
    """The phase ended before the session did, and no turn had failed."""


def label_number(label: str | None) -> int:
    """The number that stands for a label in records: 31 bits of its CRC-32; -1 for none."""
    return ABSENT if label is None else zlib.crc32(label.encode()) & 0x7FFFFFFF


class TokenSource(enum.IntEnum):
    """Where `n_in` and `n_out` come from."""

    NONE = 0
    USAGE = 1
    CHUNKS = 2
    TOKENIZER = 3
    NO_TOKENS = 4
    """The answer has no tokens: its `n_out` is 0."""


# name, struct code, meaning
RECORD_FIELDS: tuple[tuple[str, str, str], ...] = (
    ("session", "i", "number of the session in its phase"),
    ("turn", "i", "number of the turn in its session"),
    ("worker", "h", "number of the load worker, from 0"),
    ("status", "B", "Status"),
    ("http_status", "h", "HTTP status, -1 without a response"),
    ("reused", "B", "1: the connection had carried an earlier request"),
    ("exact_output", "B", "1: exactly `asked_out` tokens were requested"),
    ("token_source", "B", "TokenSource"),
    ("scheduled_ns", "q", "when the request should have been sent"),
    ("sent_first_ns", "q", "before the first byte was written to a socket, on the first attempt"),
    ("sent_last_ns", "q", "after the last byte was written to the socket, on the last attempt"),
    ("first_ns", "q", "arrival of the first token-bearing chunk"),
    ("last_ns", "q", "arrival of the last token-bearing chunk"),
    ("end_ns", "q", "arrival of the end of the response, or time of the failure"),
    ("n_in", "i", "prompt tokens, from `token_source`"),
    ("n_out", "i", "generated tokens, from `token_source`"),
    ("n_cached", "i", "prompt tokens read from a cache, from the server's usage"),
    ("asked_in", "i", "prompt tokens according to the workload"),
    ("asked_out", "i", "output limit set by the workload"),
    ("chunks", "i", "number of token-bearing chunks"),
    ("chunk_offset", "q", "index of the first chunk in timestamps.bin and counts.bin"),
    ("coalesced", "i", "token-bearing chunks that came with the same read as the one before"),
    ("bytes_in", "q", "bytes of the response, including HTTP headers and chunk sizes"),
    ("retries", "h", "how often the request was sent again on another connection"),
    ("label", "i", "the class of traffic: `label_number` of the turn's label"),
    ("agent", "h", "0 for the session's own turns, another number for a sub-agent's"),
    ("asked_shared", "i", "prompt tokens that an unlimited prefix cache would hold"),
    ("finish", "B", "Finish"),
    ("tool_calls", "h", "tool calls in the answer"),
    ("reasoning_chunks", "i", "token-bearing chunks with reasoning text"),
    ("answer_ns", "q", "arrival of the first chunk with text of the answer itself"),
)

SESSION_FIELDS: tuple[tuple[str, str, str], ...] = (
    ("session", "i", "number of the session in its phase"),
    ("worker", "h", "number of the load worker, from 0"),
    ("status", "B", "SessionStatus"),
    ("turns", "i", "turns that the session returned"),
    ("ok", "i", "turns that succeeded"),
    ("failed", "i", "turns that failed, with those that were not sent because a parent failed"),
    ("begun_ns", "q", "when the session should have begun"),
    ("ended_ns", "q", "end of its last turn"),
    (
        "waited_ns",
        "q",
        "time in which no turn was in flight because the next had think or tool time",
    ),
)

CHUNK_FIELDS: tuple[tuple[str, str, str], ...] = (
    ("ns", "q", "arrival of the chunk"),
    ("tokens", "i", "tokens in the chunk, -1 if the server does not report it"),
)

RECORD = struct.Struct("<" + "".join(code for _, code, _ in RECORD_FIELDS))
SESSION = struct.Struct("<" + "".join(code for _, code, _ in SESSION_FIELDS))


def numpy_layout(fields: tuple[tuple[str, str, str], ...]) -> list[tuple[str, str]]:
    """The layout as a numpy dtype specification (packed, little-endian)."""
    kinds = {"i": "<i4", "h": "<i2", "B": "u1", "q": "<i8"}
    return [(name, kinds[code]) for name, code, _ in fields]


@attrs.frozen(kw_only=True)
class ClockPair:
    """The same instant on two clocks, to align files of several hosts."""

    wall_ns: int
    monotonic_ns: int

    @property
    def offset_ns(self) -> int:
        """Wall clock minus monotonic clock; changes when the wall clock is set."""
        return self.wall_ns - self.monotonic_ns


@attrs.frozen(kw_only=True)
class PhaseSummary:
    """One phase as a whole; belongs to its records. Times are monotonic nanoseconds.

    Attributes:
        dispatch_ended_ns: end of the full load: from then on no new session began. Sessions in
            progress may have sent further turns.
        stopped_by: what ended the full load: duration, requests, session_limit,
            sessions (the workload has no more), schedule, stalled, failing (every request failed
            for a while), cancelled, drain, fatal.
        turns: turns that ended; `failed` of them without a complete answer.
        scheduled_turns: turns that should have been sent.
        cpu_share: share of its CPU core that the busiest worker used, from the start to the end of
            the full load, so without the drain. Of the whole phase, where that is less than 1 s.
        in_flight_ns: the number of requests in flight, integrated over the dispatching time.
        target_in_flight_ns: the same for the requested concurrency.
        loop_delay_ns: p50, p90, p99 and maximum of how late sockets may have been read, see
            :meth:`.poller.Poller.read_delay_ns`; of several workers, the worst.
        merged_delay_ns: the same for reads with several tokens: percentiles 0 to 99, maximum.
        kernel_timestamps: every read had a kernel timestamp, so a late read changes no timestamp,
            except those of the earlier tokens in a read of several.
        compiled: the C extension was used.
        clock_set_ns: the largest step of the wall clock, which kernel timestamps are based on.
        longest_pause_ns: the longest time for which the client did not run, see
            :class:`.pauses.PauseWatch`; of several workers, the worst.
        paused_ns: the sum of these pauses, likewise.
        retries: requests sent again, because the server had closed their idle connection.
        errors: the first failures, and the last one at the end.
        starved_ns: time during which a session was due and none was prepared; the longest of any
            worker.
        labels: the labels of turns, in alphabetical order.
    """

    started_ns: int
    dispatch_ended_ns: int
    ended_ns: int
    clock_start: ClockPair
    clock_end: ClockPair
    stopped_by: str
    turns: int
    failed: int = 0
    concurrency: int | None = None
    rate_per_s: float | None = None
    scheduled_turns: int = 0
    cpu_share: float | None = None
    in_flight_ns: int = 0
    target_in_flight_ns: int = 0
    loop_delay_ns: tuple[int, ...] = ()
    merged_delay_ns: tuple[int, ...] = ()
    kernel_timestamps: bool = False
    compiled: bool = False
    clock_set_ns: int = 0
    longest_pause_ns: int = 0
    paused_ns: int = 0
    retries: int = 0
    starved_ns: int = 0
    max_rss_bytes: int = 0
    errors: tuple[str, ...] = ()
    workers: int = 1
    labels: tuple[str, ...] = ()
