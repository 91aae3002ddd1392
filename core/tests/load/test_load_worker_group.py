"""A phase split among workers is one phase: same sessions, same counts, one start."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenbench.api import COMPLETIONS, Dialect, SingleTurn, Stop, Target, TextPrompt, Turn
from tokenbench.load.bounded_sample import BoundedSample
from tokenbench.load.codecs import CompletionsCodec
from tokenbench.load.job import LoadJob
from tokenbench.load.merge import merge_summaries
from tokenbench.load.records import ClockPair, PhaseSummary
from tokenbench.load.worker_group import WorkerGroup, split_job
from tokenbench.store.records import read_phase, read_raw, read_records, write_parquet

JOB = LoadJob(
    url="http://127.0.0.1:1",
    codec=COMPLETIONS,
    model="m",
    dialect=Dialect(codecs=(COMPLETIONS,), ignore_eos=True),
    sessions="",
    output="",
    stop=Stop(requests=10),
    concurrency=4,
)


@given(
    concurrency=st.integers(1, 2000),
    workers=st.integers(1, 64),
    requests=st.none() | st.integers(1, 10**6),
)
def test_a_split_adds_up(concurrency: int, workers: int, requests: int | None) -> None:
    """Concurrency and limits are divided evenly and completely; every worker gets some."""
    job = attrs.evolve(JOB, concurrency=concurrency, stop=Stop(requests=requests))
    shares = split_job(job, workers)
    assert len(shares) == min(concurrency, workers, requests or workers)
    assert sum(share.concurrency or 0 for share in shares) == concurrency
    assert max(s.concurrency for s in shares) - min(s.concurrency for s in shares) <= 1
    assert [share.worker for share in shares] == list(range(len(shares)))
    if requests is not None:
        assert sum(share.stop.requests or 0 for share in shares) == requests


def _sessions(count: int, tokens: int = 3) -> list[SingleTurn]:
    return [
        SingleTurn(
            Turn(prompt=TextPrompt(f"number {n}"), max_tokens=tokens, exact_output=True, n_in=2)
        )
        for n in range(count)
    ]


@pytest.fixture
def run_group(serve, tmp_path: Path) -> Callable[..., tuple[PhaseSummary, Any, Any]]:
    """Run a phase on several workers; returns its summary, records and chunks."""

    def run(
        workers: int,
        count: int,
        arrivals: array[int] | None = None,
        tokens: int = 3,
        **changes: Any,
    ) -> Any:
        folder = tmp_path / f"phase-{workers}"
        folder.mkdir()
        job = attrs.evolve(JOB, url=serve("--itl-s", "0.001"), output=str(folder), **changes)
        with WorkerGroup(cpus=tuple(range(1)) * workers, logs=tmp_path) as group:
            summary = group.run(
                job,
                _sessions(count, tokens),
                arrivals,
                on_progress=lambda _: None,
                interrupted=lambda: False,
                alive=lambda: True,
            )
        left = sorted(f.name for f in folder.iterdir())
        assert not [name for name in left if "pickle" in name or "arrivals" in name]
        assert read_phase(folder) == summary
        records, chunks = read_raw(folder)
        write_parquet(folder, records, chunks, summary)
        again = read_records(folder)
        assert len(again[0]) == len(records) and len(again[1]) == len(chunks)
        return summary, *again[:2]

    return run


@pytest.mark.parametrize("workers", [1, 3])
def test_a_closed_loop_of_several_workers_is_one_phase(run_group, workers: int) -> None:
    """Every session is sent once, by any worker; each record refers to its own chunks."""
    summary, records, chunks = run_group(workers, 40, concurrency=5, stop=Stop(requests=40))
    assert (summary.turns, summary.workers, summary.concurrency) == (40, workers, 5)
    assert sorted(records["session"]) == list(range(40))
    assert set(records["worker"]) == set(range(workers))
    assert set(records["status"]) == {0}
    for row in records:
        own = chunks["ns"][row["chunk_offset"] : row["chunk_offset"] + row["chunks"]]
        assert (own[0], own[-1]) == (row["first_ns"], row["last_ns"])


@pytest.mark.parametrize("workers", [1, 2])
def test_an_open_loop_keeps_its_schedule(run_group, workers: int) -> None:
    """Each arrival is sent once, at its scheduled time or later."""
    times = array("q", [n * 5_000_000 for n in range(50)])
    summary, records, _ = run_group(
        workers, 50, times, concurrency=None, rate_per_s=200.0, stop=Stop()
    )
    assert (summary.turns, summary.scheduled_turns, summary.stopped_by) == (50, 50, "schedule")
    assert (summary.concurrency, summary.rate_per_s) == (None, 200.0)
    assert (records["sent_first_ns"] >= records["scheduled_ns"]).all()
    for number in range(workers):
        mine = np.sort(records["scheduled_ns"][records["worker"] == number])
        assert (np.diff(mine) == 5_000_000 * workers).all()


def test_an_open_loop_with_too_few_sessions(run_group) -> None:
    """It stops at the last session."""
    times = array("q", [n * 1_000_000 for n in range(30)])
    summary, records, _ = run_group(1, 10, times, concurrency=None, rate_per_s=1000.0, stop=Stop())
    assert summary.stopped_by == "sessions"
    assert len(records) == 10


def test_a_failing_worker_ends_the_phase(run_group) -> None:
    """Its error is raised, and the other workers are cancelled."""
    from tokenbench.api import PluginError

    with pytest.raises(PluginError, match="unknown codec 'none'"):
        run_group(2, 10, codec="none")


def _summary(**changes: Any) -> PhaseSummary:
    clock = ClockPair(wall_ns=0, monotonic_ns=0)
    facts: dict[str, Any] = {
        "started_ns": 10,
        "dispatch_ended_ns": 20,
        "ended_ns": 30,
        "clock_start": clock,
        "clock_end": clock,
        "stopped_by": "duration",
        "turns": 5,
        "concurrency": 2,
        "cpu_share": 0.25,
        "loop_delay_ns": (1, 2, 3, 4),
    }
    return PhaseSummary(**{**facts, **changes})


def test_merged_summaries_have_the_worst_values() -> None:
    """Counts are added; delays, CPU and stall are those of the worst worker."""
    one = _summary()
    two = _summary(
        started_ns=8, turns=7, cpu_share=0.75, loop_delay_ns=(0, 9, 1, 9), stopped_by="stalled"
    )
    both = merge_summaries([one, two])
    assert (both.started_ns, both.turns, both.concurrency, both.workers) == (8, 12, 4, 2)
    assert (both.cpu_share, both.loop_delay_ns) == (0.75, (1, 9, 3, 9))
    assert both.stopped_by == "stalled"
    assert merge_summaries([one]) is one


def test_merged_flags_hold_for_all_workers() -> None:
    """Kernel timestamps and the C extension; a clock step of one worker is one of the phase."""
    one = _summary(kernel_timestamps=True, compiled=True)
    two = _summary(kernel_timestamps=True, clock_set_ns=-7, merged_delay_ns=(1, 5))
    both = merge_summaries([one, two])
    assert (both.kernel_timestamps, both.clock_set_ns, both.merged_delay_ns) == (True, -7, (1, 5))
    assert not merge_summaries([one, _summary()]).kernel_timestamps
    assert merge_summaries([one, one]).compiled and not both.compiled


@given(values=st.lists(st.integers(0, 10**9), min_size=1, max_size=500))
def test_small_samples_are_exact(values: list[int]) -> None:
    """As long as all values fit, the percentiles are exact; the maximum always is."""
    delays = BoundedSample()
    for value in values:
        delays.add(value)
    p50, p90, p99, largest = delays.percentiles()
    assert largest == max(values)
    assert p50 <= p90 <= p99 <= largest
    assert p50 in values


def test_samples_are_bounded() -> None:
    """A million values use no more memory than a hundred thousand."""
    delays = BoundedSample()
    for value in range(1_000_000):
        delays.add(value)
    assert len(delays) < 1 << 16
    assert delays.percentiles()[0] == pytest.approx(500_000, rel=0.01)


def test_load_worker_command_runs_a_job_file(serve, tmp_path: Path) -> None:
    """`bench load-worker JOB`: the summary on standard output, the records in the folder."""
    import subprocess
    import sys

    from tokenbench.load.job import encode
    from tokenbench.load.session_file import write_sessions

    target = Target(model="m", dialect=JOB.dialect)
    write_sessions(_sessions(6), CompletionsCodec(), target, [tmp_path / "s.pickle"])
    job = attrs.evolve(JOB, url=serve(), sessions=str(tmp_path / "s.pickle"), output=str(tmp_path))
    job = attrs.evolve(job, stop=Stop(requests=6))
    (tmp_path / "job.json").write_bytes(encode(job))
    command = [sys.executable, "-m", "tokenbench.cli.main", "load-worker"]
    done = subprocess.run(
        [*command, str(tmp_path / "job.json")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert '"turns":6' in done.stdout
    assert len(read_raw(tmp_path)[0]) == 6
    (tmp_path / "job.json").write_text("{}")
    done = subprocess.run(
        [*command, str(tmp_path / "job.json")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "is not a load job" in done.stderr


def test_short_requests_are_no_stall(run_group) -> None:
    """Completed requests count even if no request in flight ever has a token."""
    one = Stop(duration_s=1.6)
    summary, records, _ = run_group(1, 4000, tokens=1, concurrency=1, stop=one, stall_timeout_s=0.6)
    assert summary.stopped_by == "duration"
    assert set(records["status"]) == {0}
    assert (summary.ended_ns - summary.started_ns) / 1e9 > 1.5
