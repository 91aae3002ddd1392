"""Errors against the ground truth, with data small enough to compute every number by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tokenbench.calibrate.ground_truth import Truth, compare
from tokenbench.load.records import Status
from tokenbench.measure.arrays import CHUNK_DTYPE, RECORD_DTYPE, Rows

MS = 1_000_000
TOKENS = 4


def _truth(requests: int, late_ns: int = 0) -> Truth:
    """Request k arrives at k seconds; its tokens are due 50, 60, 70 and 80 ms later."""
    rows = np.zeros(
        requests,
        [("id", "<i8"), ("arrival_ns", "<i8"), ("sent", "<u4"), ("blocked", "<u4")],
    )
    rows["id"] = np.arange(requests)[::-1]
    rows["arrival_ns"] = rows["id"] * 1000 * MS
    rows["sent"] = TOKENS
    due = rows["arrival_ns"][:, None] + 50 * MS + np.arange(TOKENS) * 10 * MS
    return Truth(
        ttft_ns=50 * MS,
        itl_ns=10 * MS,
        requests=rows,
        offsets=np.arange(requests) * TOKENS,
        send_ns=due.ravel() + late_ns,
        late_ns=np.full(requests * TOKENS, late_ns),
    )


def _client(requests: int, lag_ms: list[float], late_ns: int = 0) -> tuple[Rows, Rows]:
    """A client that reads token i `lag_ms[i]` after the server sent it."""
    records = np.zeros(requests, RECORD_DTYPE)
    records["session"] = np.arange(requests)
    records["status"] = Status.OK
    records["sent_first_ns"] = records["session"].astype(np.int64) * 1000 * MS - MS
    records["chunks"] = TOKENS
    records["chunk_offset"] = np.arange(requests) * TOKENS
    chunks = np.zeros(requests * TOKENS, CHUNK_DTYPE)
    sends = np.arange(requests)[:, None] * 1000 * MS + 50 * MS + np.arange(TOKENS) * 10 * MS
    chunks["ns"] = (sends + late_ns + np.array(lag_ms) * MS).ravel()
    return records, chunks


def test_errors_by_hand() -> None:
    """TTFT: lag of the first token; E2E: of the last; TPOT: their difference; ITL: per gap."""
    found = compare(_truth(10), *_client(10, [1.0, 3.0, 3.0, 2.5]))
    assert (found.requests, found.tokens, found.unmatched) == (10, 40, 0)
    assert found.ttft is not None and found.ttft.mean == pytest.approx(1e-3)
    assert found.e2e is not None and found.e2e.p99 == pytest.approx(2.5e-3)
    assert found.tpot is not None and found.tpot.p50 == pytest.approx(0.5e-3)
    assert found.itl is not None and found.itl.n == 30
    assert found.itl.mean == pytest.approx((2.0 + 0.0 + 0.5) / 3 * 1e-3)
    assert found.pickup is not None and found.pickup.mean == pytest.approx(1e-3)


def test_late_server_adds_no_client_error() -> None:
    """Tokens sent 7 ms late and read at once are 7 ms of lateness and no error."""
    found = compare(_truth(3, late_ns=7 * MS), *_client(3, [0.0] * 4, late_ns=7 * MS))
    assert found.ttft is not None and found.ttft.max == 0.0
    assert found.lateness is not None and found.lateness.p50 == pytest.approx(7e-3)


def test_unmatched_requests_are_counted_and_excluded() -> None:
    """Unknown requests and those of another length; failed requests are ignored."""
    records, chunks = _client(5, [1.0] * 4)
    records["chunks"][1] = 3
    records["session"][2] = 77
    records["status"][3] = Status.BROKEN
    found = compare(_truth(5), records, chunks)
    assert (found.requests, found.unmatched) == (2, 2)
    assert found.ttft is not None and found.ttft.mean == pytest.approx(1e-3)


def test_nothing_to_compare_gives_none() -> None:
    """No request on one side: None instead of zeros."""
    records, chunks = _client(2, [1.0] * 4)
    assert compare(_truth(0), records, chunks).unmatched == 2
    assert compare(_truth(2), records[:0], chunks).ttft is None
