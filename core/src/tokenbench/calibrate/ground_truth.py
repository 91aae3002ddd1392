"""What really happened, and how far the client's records are from it. Pure but for reading a file.

Server and load workers stamp the same clock, so their times are compared directly:

* error of TTFT: the client's `first_ns` minus the server's stamp right before it wrote the first
  token. The true TTFT is that stamp minus the client's own `sent_first_ns`; so the error is the way
  over the loopback interface (both kernels' part of it) and the lateness of the client's reading.
* error of E2E: the same of the last token.
* error of TPOT and of ITL: the absolute difference between the client's value and that of the
  server's stamps, a request or a gap at a time. They have signs; opposite ones must not cancel.
* pickup: the server's arrival stamp minus the client's `sent_first_ns`. No error of a latency, but
  where it is long, the client's stamp came before its write, or the server read late.
* lateness: the server's stamp minus the time that token was due: the server's own fault.

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

# As ROW of the server, and as benchmarks/c/server.c writes it.
REQUEST_DTYPE = np.dtype(
    [("id", "<i8"), ("arrival_ns", "<i8")]
    + [(n, "<u4") for n in ("connection", "number", "asked", "sent", "prompt_tokens", "blocked")]
)


@attrs.frozen(kw_only=True)
class Spread:
    """Seconds: mean, percentiles (linear interpolation), the largest; of `n` values."""

    n: int
    mean: float
    p50: float
    p99: float
    most: float


@attrs.frozen(kw_only=True, eq=False)
class Truth:
    """The server's record: of request k, tokens ``[offsets[k] : offsets[k] + sent[k]]``."""

    ttft_ns: int
    itl_ns: int
    requests: Rows
    offsets: Ints
    send_ns: Ints
    late_ns: Ints


@attrs.frozen(kw_only=True)
class Errors:
    """The client against the truth, and the server against its schedule.

    `unmatched`: successful requests of the client that the server does not know, or knows with
    another number of tokens; their errors are not in the others. `blocked`: tokens that did not
    fit a socket's buffer, so that their stamps are too early.
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
    """The file of a server that has ended.

    Raises:
        MachineError: it is not whole.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        data = b""
    if len(data) < HEAD.size or data[:8] != MAGIC or len(data) % 8:
        raise _not_whole()
    _, ttft_ns, itl_ns, count = HEAD.unpack_from(data)
    stamps_at = HEAD.size + count * REQUEST_DTYPE.itemsize
    if len(data) < stamps_at:
        raise _not_whole()
    requests = np.frombuffer(data, REQUEST_DTYPE, count, HEAD.size)
    sent = requests["sent"].astype(np.int64)
    ends = np.cumsum(sent)
    sends = np.frombuffer(data, "<i8", -1, stamps_at).astype(np.int64)
    if len(sends) != int(sent.sum()):
        raise _not_whole()
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


def _not_whole() -> MachineError:
    return MachineError("the reference server left no truth", hint="see its log; is the disk full?")


def compare(truth: Truth, records: Rows, chunks: Rows, *, first_id: int = 0) -> Errors:
    """Match the client's successful requests with the truth, one to one, and compare.

    A session's number plus `first_id` is the id in its prompt.
    """
    ok = records[records["status"] == Status.OK]
    order = np.argsort(truth.requests["id"], kind="stable")
    ids = truth.requests["id"][order]
    wanted = ok["session"].astype(np.int64) + first_id
    at = np.minimum(np.searchsorted(ids, wanted), max(len(ids) - 1, 0))
    found = ids[at] == wanted if len(ids) else np.zeros(len(ok), np.bool_)
    rows = order[at[found]]
    mine = ok[found]
    same = truth.requests["sent"][rows] == mine["chunks"]
    rows, mine = rows[same], mine[same]
    counts = mine["chunks"].astype(np.int64)
    said = chunks["ns"][spans(mine["chunk_offset"].astype(np.int64), counts)].astype(np.int64)
    index = spans(truth.offsets[rows], counts)
    # One row a token, those of a request side by side: how late the client saw it.
    lag = said - truth.send_ns[index]
    starts = np.cumsum(counts) - counts
    inner = np.ones(len(lag), np.bool_)
    inner[starts] = False
    many = counts > 1
    first, last = lag[starts], lag[starts + counts - 1]
    return Errors(
        requests=len(mine),
        tokens=len(lag),
        unmatched=len(ok) - len(mine),
        blocked=int(truth.requests["blocked"][rows].sum()),
        ttft=_spread(first),
        tpot=_spread(np.abs(last - first)[many] / (counts[many] - 1)),
        itl=_spread(np.abs(np.diff(lag)[inner[1:]])),
        e2e=_spread(last),
        pickup=_spread(truth.requests["arrival_ns"][rows] - mine["sent_first_ns"]),
        lateness=_spread(truth.late_ns[index]),
    )


def spans(offsets: Ints, counts: Ints) -> Ints:
    """Indices of the spans that begin at `offsets`, one behind the other."""
    starts = np.cumsum(counts) - counts
    found: Ints = np.arange(int(counts.sum())) - np.repeat(starts - offsets, counts)
    return found


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
        most=float(seconds.max()),
    )
