"""Our client: the load worker, job, sessions and records that `bench run` uses."""

from __future__ import annotations

import time
from pathlib import Path

import attrs
import numpy as np
from accuracy import ClientTimestamps
from reference import Load, Placement, Reference, serving
from sample import WARM_UP_IDS, Sample, compare, cpu_ns, peak_rss_bytes

from tokenbench.api import COMPLETIONS, Dialect, SingleTurn, Stop, TextPrompt, Turn
from tokenbench.load.job import LoadJob
from tokenbench.load.records import PhaseSummary, Status
from tokenbench.load.worker_group import WorkerGroup
from tokenbench.store.records import read_raw


@attrs.frozen(kw_only=True)
class _Phase:
    """One phase of a worker group."""

    group: WorkerGroup
    load: Load
    port: int
    folder: Path

    def run(self, first_id: int, requests: int, seconds: float) -> PhaseSummary:
        """Run `requests` requests; if that is 0, run for `seconds`."""
        self.folder.mkdir()
        sessions = requests or int(seconds * 60_000)
        job = LoadJob(
            url=f"http://127.0.0.1:{self.port}",
            codec=COMPLETIONS,
            model="truth",
            dialect=Dialect(codecs=(COMPLETIONS,), ignore_eos=True),
            sessions="",
            output=str(self.folder),
            stop=Stop(requests=requests) if requests else Stop(duration_s=seconds),
            concurrency=self.load.concurrency,
        )
        return self.group.run(
            job,
            (self._session(first_id + i) for i in range(sessions)),
            on_progress=lambda _: None,
            interrupted=lambda: False,
            alive=lambda: True,
        )

    def _session(self, number: int) -> SingleTurn:
        words = " word" * (self.load.words - 1)
        return SingleTurn(
            Turn(
                prompt=TextPrompt(f"#{number:09d}{words}"),
                max_tokens=self.load.tokens,
                exact_output=True,
                n_in=self.load.words,
            )
        )


def run(
    reference: Reference,
    load: Load,
    placement: Placement,
    folder: Path,
    seconds: float = 0,
    workers: int = 1,
) -> Sample:
    """Start the workers, warm up with one request per connection, then run the measured phase.

    `cpu_s` is the CPU time of the worker processes during the phase: reading sessions, connecting,
    the load itself and writing records. Several `workers` share the same core: their CPU time,
    compared with that of one worker, is the cost of splitting the work.
    """
    with serving(reference, load, folder / "truth.bin") as (port, truth):
        begun_ns = time.monotonic_ns()
        with WorkerGroup(cpus=tuple(sorted(placement.cpus)) * workers, logs=folder) as group:
            for pid in group.pids:
                placement.apply_to(pid)
            warm_up = _Phase(group=group, load=load, port=port, folder=folder / "warm-up")
            warmed = warm_up.run(WARM_UP_IDS, load.concurrency, 0)
            phase = _Phase(group=group, load=load, port=port, folder=folder / "measured")
            before_ns = sum(map(cpu_ns, group.pids))
            summary = phase.run(0, load.requests, seconds)
            used_ns = sum(map(cpu_ns, group.pids)) - before_ns
            rss = max(map(peak_rss_bytes, group.pids))
            arrow = any("arrow" in Path(f"/proc/{p}/maps").read_text() for p in group.pids)
    records, chunks = read_raw(phase.folder)
    good = records[records["status"] == Status.OK]
    delays = summary.loop_delay_ns or (0, 0, 0, 0)
    dispatch = good["sent_first_ns"] - good["scheduled_ns"]
    return Sample(
        client="ours" if workers == 1 else "split",
        concurrency=load.concurrency,
        requests=len(good),
        failed=summary.turns - len(good),
        cpu_s=used_ns / 1e9,
        wall_s=(summary.ended_ns - summary.started_ns) / 1e9,
        rss_bytes=rss,
        start_s=(warmed.started_ns - begun_ns) / 1e9,
        more={
            "imports_pyarrow": arrow,
            "loop_delay_p99_ms": delays[2] / 1e6,
            "dispatch_delay_p99_ms": float(np.percentile(dispatch, 99)) / 1e6 if len(good) else 0.0,
            "coalesced_share": float(good["coalesced"].sum() / max(1, int(good["n_out"].sum()))),
            "share_of_core": summary.cpu_share,
            "records_bytes": sum(f.stat().st_size for f in phase.folder.glob("*.bin")),
        },
        **compare(truth[0], _timestamps(good, chunks)),  # type: ignore[arg-type]
    )


def _timestamps(records: np.ndarray, chunks: np.ndarray) -> ClientTimestamps:
    """The session number is also the number in the prompt: both count from 0 in file order."""
    return ClientTimestamps(
        id=records["session"].astype(np.int64),
        sent_ns=records["sent_first_ns"],
        first_ns=records["first_ns"],
        last_ns=records["last_ns"],
        tokens=records["chunks"].astype(np.int64),
        offsets=records["chunk_offset"],
        chunk_ns=chunks["ns"],
    )
