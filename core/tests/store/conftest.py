"""A result with every field set, and raw records as a load worker writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tokenbench.api import (
    Accuracy,
    Check,
    CheckOutcome,
    Estimate,
    EvalOutcome,
    FrozenMap,
    LoadLevel,
    Measurement,
    Origin,
    PointResult,
    PointState,
)
from tokenbench.load.job import encode
from tokenbench.load.records import ClockPair, PhaseSummary, label_number
from tokenbench.measure.arrays import CHUNK_DTYPE, RECORD_DTYPE, Rows


@pytest.fixture(scope="session")
def outcome() -> EvalOutcome:
    """An eval's outcome from an eval twin."""
    return EvalOutcome(
        eval="gsm8k",
        deployment="d1",
        metric="exact_match",
        value=0.5,
        n=10,
        variant="gsm8k v3",
        interval=(0.236593, 0.763407),
        accuracy=Accuracy.UNDECIDED,
        threshold=0.4,
        threshold_source="measured, 2026-11-21",
        twin_settings=("context_tokens",),
        seconds=12.5,
    )


@pytest.fixture(scope="session")
def result(outcome: EvalOutcome) -> PointResult:
    """A result without default values."""
    return PointResult(
        point="p1",
        run="r1",
        deployment="d1",
        engine="llamacpp",
        engine_version="b1",
        model="smollm2",
        precision="q8_0",
        hardware="cpu",
        accelerators=1,
        layout="tp1",
        workload="random",
        workload_options=FrozenMap({"input_tokens": 128, "range": 0.8, "chat": True, "data": None}),
        level=LoadLevel(concurrency=4, unit="session"),
        state=PointState.DONE,
        repeats=3,
        metrics=FrozenMap(
            {
                "ttft_s.p50": Estimate(
                    mean=0.5, half_width=0.1, values=(0.4, 0.5, 0.6), method="repeats"
                ),
                "energy_j.host": Estimate(mean=None, half_width=None, values=(None, None, None)),
            }
        ),
        measurement=Measurement.FLAGGED,
        checks=(
            Check(
                name="failures",
                outcome=CheckOutcome.FLAGGED,
                evidence="1 of 90 requests failed: http — é",
                value=0.011,
                flag_limit=0.0,
                invalid_limit=0.05,
                unit="1",
            ),
            Check(name="repeats", outcome=CheckOutcome.NOT_ASSESSED, evidence="why"),
        ),
        accuracy=Accuracy.UNDECIDED,
        evals=(outcome,),
        saturated=False,
        load_workers=2,
        server="127.0.0.1:8000",
        devices="2 x ACME X1; driver 7.1; limit 700 W",
        error="none",
        roles=FrozenMap({"prefill": 2, "decode": 6}),
        role_hardware=FrozenMap({"prefill": "h100", "decode": "4xh100+2xh200"}),
        speculation="mtp",
        date="2026-11-30",
        notes=("a note",),
        origin=Origin(
            format="rows",
            files=("rows.csv",),
            row=7,
            url="https://example.org/7",
            fields=FrozenMap({"image": "a:1", "std": 0.5, "many": True, "gpus": 8}),
        ),
        classes=FrozenMap(
            {"chat": FrozenMap({"ttft_s.p50": Estimate(mean=0.1, half_width=None, values=(0.1,))})}
        ),
        definitions_version=1,
    )


@pytest.fixture(scope="session")
def summary() -> PhaseSummary:
    """A phase summary with nested and optional fields."""
    return PhaseSummary(
        started_ns=1,
        dispatch_ended_ns=2,
        ended_ns=3,
        clock_start=ClockPair(wall_ns=10, monotonic_ns=1),
        clock_end=ClockPair(wall_ns=12, monotonic_ns=3),
        stopped_by="requests",
        turns=3,
        concurrency=2,
        loop_delay_ns=(1, 2, 3, 4),
        errors=("http: 500",),
        labels=("chat", "code"),
    )


@pytest.fixture
def raw(tmp_path: Path, summary: PhaseSummary) -> Callable[..., tuple[Path, Rows, Rows]]:
    """Writes the files of a phase: turns of 2, 0 and 3 chunks, not in the order of the turns."""

    def write() -> tuple[Path, Rows, Rows]:
        records, chunks = np.zeros(3, RECORD_DTYPE), np.zeros(5, CHUNK_DTYPE)
        records["session"], records["chunks"], records["chunk_offset"] = (
            range(3),
            (2, 0, 3),
            (3, 3, 0),
        )
        records["n_out"], records["n_cached"] = (2, -1, 4), -1
        records["http_status"] = (200, -1, 200)
        records["label"] = (label_number("chat"), -1, -1)
        records["sent_first_ns"] = (5, -1, 7)
        chunks["ns"], chunks["tokens"] = (70, 80, 90, 50, 60), (1, 2, 1, -1, 1)
        folder = tmp_path / "repeat-0"
        folder.mkdir()
        (folder / "records.bin").write_bytes(records.tobytes())
        (folder / "timestamps.bin").write_bytes(chunks["ns"].tobytes())
        (folder / "counts.bin").write_bytes(chunks["tokens"].tobytes())
        (folder / "phase.json").write_bytes(encode(summary))
        return folder, records, chunks

    return write
