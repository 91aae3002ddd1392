"""The reference server's timestamps, and the errors of the client's records against them.

Server and load workers timestamp with the same clock, so their times are compared directly:

* TTFT error: the client's `first_ns` minus the server's timestamp right before it wrote the first
  token. The true TTFT is that timestamp minus the client's `sent_first_ns`, so the error is the
  latency of the loopback interface (in the kernel) plus the delay of the client's read.
* E2E error: the same for the last token.
* TPOT error, ITL error: absolute difference between the client's value and the server's, per
  request or per gap. Absolute, because errors of opposite sign must not cancel.
* pickup: the server's arrival timestamp minus the client's `sent_first_ns`. This is not an error of
  a latency, but a large value means that the client took its timestamp long before its write, or
  that the server read late.
* lateness: the server's timestamp minus the time the token was due. This is the server's own delay.

All in seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from tokenbench.api import MachineError
from tokenbench.load.records import Status
from tokenbench.measure.arrays import NS_PER_S, Ints, Rows

from .server import HEAD, MAGIC

# The layout of server.ROW, which benchmarks/c/server.c writes too.
REQUEST_DTYPE = np.dtype(
    [("id", "<i8"), ("arrival_ns", "<i8")]
    + [
        (n, "<u4")
        for n in ("connection", "number", "requested", "sent", "prompt_tokens", "blocked")
    ]
)


@attrs.frozen(kw_only=True)
class Spread:
    """Mean, percentiles (linear interpolation) and maximum of `n` values, in seconds."""

    n: int
    mean: float
    p50: float
    p99: float
    max: float


@attrs.frozen(kw_only=True, eq=False)
class Truth:
    """What the server sent; ``[offsets[k] : offsets[k] + sent[k]]`` are the tokens of request k."""

    ttft_ns: int
    itl_ns: int
    requests: Rows
    offsets: Ints
    send_ns: Ints
    late_ns: Ints


@attrs.frozen(kw_only=True)
class Errors:
    """The client against the ground truth, and the server against its schedule.

    `unmatched`: successful requests of which the server has no record, or a record with another
    number of tokens; no other field includes them. `blocked`: tokens that did not fit into the
    socket buffer, so their timestamps are too early.
    """

    requests: int
    tokens: int
    unmatched: int
    blocked: int
    ttft: Spread | None
    tpot: Spread | None
    itl: Spread | None
    e2e: Spread | None
    pickup: Spread | None
    lateness: Spread | None


def read_truth(file: Path) -> Truth:
    """Read the file that a server wrote on exit.

    Raises:
        MachineError: the file is missing or incomplete.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        data = b""
    if len(data) < HEAD.size or data[:8] != MAGIC or len(data) % 8:
        raise _incomplete()
    _, ttft_ns, itl_ns, count = HEAD.unpack_from(data)
    timestamps_at = HEAD.size + count * REQUEST_DTYPE.itemsize
    if len(data) < timestamps_at:
        raise _incomplete()
    requests = np.frombuffer(data, REQUEST_DTYPE, count, HEAD.size)
    sent = requests["sent"].astype(np.int64)
    ends = np.cumsum(sent)
    sends = np.frombuffer(data, "<i8", -1, timestamps_at).astype(np.int64)
    if len(sends) != int(sent.sum()):
        raise _incomplete()
    first_due = requests["arrival_ns"].astype(np.int64) + ttft_ns
    due = np.repeat(first_due, sent) + spans(np.zeros(count, np.int64), sent) * itl_ns
    return Truth(
        ttft_ns=ttft_ns,
        itl_ns=itl_ns,
        requests=requests,
        offsets=ends - sent,
        send_ns=sends,
        late_ns=sends - due,
    )


def _incomplete() -> MachineError:
    return MachineError(
        "the reference server wrote no complete ground truth", hint="check free disk space"
    )


def compare(truth: Truth, records: Rows, chunks: Rows) -> Errors:
    """Match the client's successful requests with the server's by session number, and compare."""
    ok = records[records["status"] == Status.OK]
    order = np.argsort(truth.requests["id"], kind="stable")
    ids = truth.requests["id"][order]
    client_ids = ok["session"].astype(np.int64)
    at = np.minimum(np.searchsorted(ids, client_ids), max(len(ids) - 1, 0))
    known = ids[at] == client_ids if len(ids) else np.zeros(len(ok), np.bool_)
    rows = order[at[known]]
    client = ok[known]
    same = truth.requests["sent"][rows] == client["chunks"]
    rows, client = rows[same], client[same]
    counts = client["chunks"].astype(np.int64)
    read_ns = chunks["ns"][spans(client["chunk_offset"].astype(np.int64), counts)].astype(np.int64)
    index = spans(truth.offsets[rows], counts)
    # One row per token, grouped by request: from the server's send to the client's read.
    lag = read_ns - truth.send_ns[index]
    starts = np.cumsum(counts) - counts
    inner = np.ones(len(lag), np.bool_)
    inner[starts] = False
    many = counts > 1
    first, last = lag[starts], lag[starts + counts - 1]
    return Errors(
        requests=len(client),
        tokens=len(lag),
        unmatched=len(ok) - len(client),
        blocked=int(truth.requests["blocked"][rows].sum()),
        ttft=_spread(first),
        tpot=_spread(np.abs(last - first)[many] / (counts[many] - 1)),
        itl=_spread(np.abs(np.diff(lag)[inner[1:]])),
        e2e=_spread(last),
        pickup=_spread(truth.requests["arrival_ns"][rows] - client["sent_first_ns"]),
        lateness=_spread(truth.late_ns[index]),
    )


def spans(offsets: Ints, counts: Ints) -> Ints:
    """Concatenated index ranges: `counts[k]` indices from `offsets[k]` on, for each k."""
    starts = np.cumsum(counts) - counts
    indices: Ints = np.arange(int(counts.sum())) - np.repeat(starts - offsets, counts)
    return indices


def _spread(values: npt.NDArray[Any]) -> Spread | None:
    if not len(values):
        return None
    seconds = values / NS_PER_S
    p50, p99 = np.percentile(seconds, (50, 99))
    return Spread(
        n=len(seconds),
        mean=float(seconds.mean()),
        p50=float(p50),
        p99=float(p99),
        max=float(seconds.max()),
    )
