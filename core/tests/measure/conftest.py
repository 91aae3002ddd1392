"""Builders of records and of the evidence of a repeat. Times are in seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from tokenbench.load.records import ABSENT, ClockPair, PhaseSummary, Status, TokenSource
from tokenbench.measure.arrays import CHUNK_DTYPE, RECORD_DTYPE, Rows
from tokenbench.measure.evidence import Evidence
from tokenbench.measure.metrics import measure_repeat
from tokenbench.measure.window import steady_window

# For the simulator beside the tests.
sys.path.insert(0, str(Path(__file__).parent))


def _ns(seconds: float) -> int:
    return ABSENT if seconds == ABSENT else round(seconds * 1e9)


def build_turn(
    sent: float,
    arrivals: Sequence[float] = (),
    *,
    tokens: Sequence[int] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """A turn sent at `sent` whose chunks arrive at `arrivals`.

    `fields` are those of RECORD_FIELDS; times are in seconds, without the suffix ``_ns``.
    """
    count = len(arrivals)
    turn: dict[str, Any] = {
        "sent_first": sent,
        "sent_last": sent,
        "scheduled": sent,
        "first": arrivals[0] if count else ABSENT,
        "last": arrivals[-1] if count else ABSENT,
        "end": arrivals[-1] if count else sent,
        "n_in": 10,
        "n_out": count if tokens is None else sum(tokens),
        "n_cached": ABSENT,
        "asked_in": ABSENT,
        "asked_out": count if tokens is None else sum(tokens),
        "status": Status.OK,
        "label": ABSENT,
        "asked_shared": ABSENT,
        "answer": arrivals[0] if count else ABSENT,
        "http_status": 200,
        "token_source": TokenSource.USAGE,
    }
    turn.update(fields)
    turn["arrivals"] = list(arrivals)
    turn["chunk_tokens"] = [ABSENT] * count if tokens is None else list(tokens)
    return turn


def build_records(turns: Sequence[dict[str, Any]]) -> tuple[Rows, Rows]:
    """Records of the turns, and their chunks in the same order."""
    records = np.zeros(len(turns), RECORD_DTYPE)
    chunks: list[tuple[int, int]] = []
    for row, turn in zip(records, turns, strict=True):
        for name in RECORD_DTYPE.names or ():
            if name.endswith("_ns"):
                row[name] = _ns(turn[name[:-3]])
            elif name in turn:
                row[name] = turn[name]
        row["chunks"], row["chunk_offset"] = len(turn["arrivals"]), len(chunks)
        timestamps = map(_ns, turn["arrivals"])
        chunks += list(zip(timestamps, turn["chunk_tokens"], strict=True))
    return records, np.array(chunks, CHUNK_DTYPE)


def build_phase(start: float, end: float, **changes: Any) -> PhaseSummary:
    """A closed loop of concurrency 1, with `changes`."""
    clock = ClockPair(wall_ns=0, monotonic_ns=0)
    phase = PhaseSummary(
        started_ns=_ns(start),
        dispatch_ended_ns=_ns(end),
        ended_ns=_ns(end),
        clock_start=clock,
        clock_end=clock,
        stopped_by="requests",
        turns=0,
        concurrency=1,
    )
    return attrs.evolve(phase, **changes)


def build_evidence(
    turns: Sequence[dict[str, Any]], phase: PhaseSummary, **changes: Any
) -> Evidence:
    """Evidence as `bench run` builds it."""
    records, chunks = build_records(turns)
    return Evidence(
        records=records,
        chunks=chunks,
        phase=phase,
        steady=steady_window(records, phase),
        **{"metrics": measure_repeat(records, chunks, phase, accelerators=1), **changes},
    )


@pytest.fixture(scope="session")
def turn() -> Callable[..., dict[str, Any]]:
    """:func:`build_turn`."""
    return build_turn


@pytest.fixture(scope="session")
def arrays() -> Callable[..., tuple[Rows, Rows]]:
    """:func:`build_records`."""
    return build_records


@pytest.fixture(scope="session")
def phase() -> Callable[..., PhaseSummary]:
    """:func:`build_phase`."""
    return build_phase


@pytest.fixture(scope="session")
def evidence() -> Callable[..., Evidence]:
    """:func:`build_evidence`."""
    return build_evidence
