"""Accuracy of a client: its timestamps compared with the ground truth of the server.

Both use the same clock (CLOCK_MONOTONIC of one host), so their timestamps are compared directly.
Requests are matched by a number: each prompt begins with '#' and the number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np

from tokenbench.calibrate.ground_truth import Truth, spans
from tokenbench.measure.arrays import Ints

_FLOOR = np.dtype(
    [(n, "<i8") for n in ("id", "sent_ns", "first_ns", "last_ns", "end_ns", "tokens", "offset")]
)
_MS, _S = 1e6, 1e9


@attrs.frozen(kw_only=True, eq=False)
class ClientTimestamps:
    """What a client recorded; request i has `chunk_ns[offsets[i] : offsets[i] + tokens[i]]`."""

    id: Ints
    sent_ns: Ints
    first_ns: Ints
    last_ns: Ints
    tokens: Ints
    offsets: Ints
    chunk_ns: Ints


def select(truth: Truth, keep: Any) -> Truth:
    """The ground truth of some requests; `keep` is a mask or an array of indices."""
    return attrs.evolve(truth, requests=truth.requests[keep], offsets=truth.offsets[keep])


def token_indices(truth: Truth) -> tuple[Ints, Ints]:
    """For every token of these requests: index into `send_ns`, position in its response."""
    counts = truth.requests["sent"].astype(np.int64)
    return spans(truth.offsets, counts), spans(np.zeros(len(counts), np.int64), counts)


def read_floor(file: Path) -> ClientTimestamps:
    """Read the file that a floor writes."""
    data = file.read_bytes()
    if data[:8] != b"TBFLOOR1":
        raise ValueError(f"{file} is not the output of a floor")
    count = int(np.frombuffer(data, "<i8", 1, 8)[0])
    rows = np.frombuffer(data, _FLOOR, count, 16)
    return ClientTimestamps(
        id=rows["id"],
        sent_ns=rows["sent_ns"],
        first_ns=rows["first_ns"],
        last_ns=rows["last_ns"],
        tokens=rows["tokens"],
        offsets=rows["offset"],
        chunk_ns=np.frombuffer(data, "<i8", -1, 16 + count * _FLOOR.itemsize),
    )


def server_metrics(truth: Truth) -> dict[str, float]:
    """Mean and p99 of the server's latencies in ms, its lateness and its blocked writes."""
    if not len(truth.requests):
        return {}
    index, position = token_indices(truth)
    sends = truth.send_ns[index]
    sent = truth.requests["sent"].astype(np.int64)
    arrival = truth.requests["arrival_ns"]
    first = truth.send_ns[truth.offsets]
    last = truth.send_ns[truth.offsets + sent - 1]
    gaps = np.diff(sends)[position[1:] > 0]
    tpot = (last - first)[sent > 1] / (sent[sent > 1] - 1)
    return {
        **_both("ttft", first - arrival),
        **_both("itl", gaps),
        **_both("tpot", tpot),
        **_both("e2e", last - arrival),
        **_both("lateness", truth.late_ns[index]),
        "blocked_writes": float(truth.requests["blocked"].sum()),
        "tokens_per_s": float(sent.sum() / (int(last.max()) - int(arrival.min())) * _S),
    }


def _both(name: str, values: Any) -> dict[str, float]:
    if not len(values):
        return {}
    return {
        f"{name}_mean_ms": float(np.mean(values)) / _MS,
        f"{name}_p99_ms": float(np.percentile(values, 99)) / _MS,
    }


def match(truth: Truth, timestamps: ClientTimestamps) -> tuple[Truth, int]:
    """The ground truth in the order of the client's requests, and how many were not found."""
    order = np.argsort(truth.requests["id"], kind="stable")
    ids = truth.requests["id"][order]
    at = np.searchsorted(ids, timestamps.id)
    found = (at < len(ids)) & (ids[np.minimum(at, len(ids) - 1)] == timestamps.id)
    return select(truth, order[at[found]]), int((~found).sum())


def errors(truth: Truth, timestamps: ClientTimestamps) -> dict[str, float]:
    """The errors of a client, per request and per gap, in ms (TPOT: relative).

    All requests must be matched, with equal token counts. Errors are absolute values, so that they
    do not cancel each other; `*_bias_ms` are means of signed errors. `pickup` is the time from the
    client's write to the arrival of the request in the server's kernel.
    """
    sent = truth.requests["sent"].astype(np.int64)
    arrival = truth.requests["arrival_ns"]
    first = truth.send_ns[truth.offsets]
    last = truth.send_ns[truth.offsets + sent - 1]
    ttft = (timestamps.first_ns - timestamps.sent_ns) - (first - arrival)
    e2e = (timestamps.last_ns - timestamps.sent_ns) - (last - arrival)
    found: dict[str, float] = {
        **_both("ttft_error", np.abs(ttft)),
        "ttft_bias_ms": float(np.mean(ttft)) / _MS,
        **_both("e2e_error", np.abs(e2e)),
        **_both("pickup", arrival - timestamps.sent_ns),
    }
    index, position = token_indices(truth)
    mine = spans(timestamps.offsets, timestamps.tokens)
    lag = timestamps.chunk_ns[mine] - truth.send_ns[index]
    found.update(_both("token_lag", lag))
    within = position[1:] > 0
    if within.any():
        found.update(_both("itl_error", np.abs(np.diff(lag)[within])))
        gaps = np.diff(timestamps.chunk_ns[mine])[within]
        found["itl_zero_share"] = float(np.mean(gaps == 0))
        true_tpot = (last - first) / np.maximum(sent - 1, 1)
        client_tpot = (timestamps.last_ns - timestamps.first_ns) / np.maximum(sent - 1, 1)
        found["tpot_error_mean"] = float(np.mean(np.abs(client_tpot / true_tpot - 1)))
        found["tpot_bias"] = float(np.mean(client_tpot) / np.mean(true_tpot) - 1)
    return found
