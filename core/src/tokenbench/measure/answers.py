"""Answers without tokens: embeddings, scores.

Latency, stability and precision are judged by answers: each counts as one token.
"""

from __future__ import annotations

from tokenbench.load.records import Status, TokenSource

from .arrays import Rows

ANSWER_METRICS = ("req_s.steady", "e2e_s.p50")
"""The metrics whose precision is judged if answers have no tokens."""


def without_tokens(records: Rows) -> bool:
    """Whether the successful turns have answers without tokens."""
    ok = records[records["status"] == Status.OK]
    return bool(len(ok)) and bool((ok["token_source"] == TokenSource.NO_TOKENS).all())


def counted(records: Rows) -> Rows:
    """The records, in which an answer without tokens counts as one token."""
    if not (records["token_source"] == TokenSource.NO_TOKENS).any():
        return records
    rows = records.copy()
    rows["n_out"][rows["token_source"] == TokenSource.NO_TOKENS] = 1
    return rows
