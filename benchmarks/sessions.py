"""Sessions at scale: a trace at a speed factor, 100,000 sessions, and prompts of 64,000 tokens.

``python benchmarks/sessions.py --trace conversation_trace.jsonl`` (see benchmarks/README.md). It
prints how late requests were, the memory of all processes, and what the server received.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tokenbench.api import (
    COMPLETIONS,
    Block,
    Dialect,
    LoadLevel,
    PlannedSession,
    PlannedTurn,
    Session,
    Stop,
    Vocabulary,
    WorkloadContext,
)
from tokenbench.launch.ports import free_port
from tokenbench.load.arrivals import arrival_times
from tokenbench.load.job import LoadJob
from tokenbench.load.records import PhaseSummary, SessionStatus
from tokenbench.load.worker_group import WorkerGroup
from tokenbench.store.records import read_raw, read_sessions

_IDS = tuple(range(1000, 33_000))


def _small() -> Iterator[Session]:
    """Sessions of two short turns."""
    vocabulary = Vocabulary(ids=_IDS)
    question, more = Block("question", 20), Block("more", 10)
    plan = (
        PlannedTurn(blocks=(question,), max_tokens=2),
        PlannedTurn(blocks=(question, more), max_tokens=2, parents=(0,)),
    )
    for number in itertools.count():
        yield PlannedSession(vocabulary=vocabulary, plan=plan, key=str(number), common_key="c")


def _long(tokens: int) -> Iterator[Session]:
    """Sessions of four turns whose context ends at `tokens`; later turns wait for a tool."""
    vocabulary = Vocabulary(ids=_IDS)
    blocks = [Block("a", tokens - 300), *(Block(f"b{n}", 100) for n in range(3))]
    plan = tuple(
        PlannedTurn(
            blocks=tuple(blocks[: n + 1]),
            max_tokens=2,
            parents=(n - 1,) if n else (),
            delay_s=0.05 if n else 0.0,
        )
        for n in range(4)
    )
    for number in itertools.count():
        yield PlannedSession(vocabulary=vocabulary, plan=plan, key=str(number), common_key="c")


class _Memory:
    """The largest resident memory of this process and its descendants together, in bytes."""

    without: ClassVar[set[int]] = set()
    """Processes that do not count."""

    def __init__(self) -> None:
        self.most = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            self.most = max(self.most, _resident(os.getpid()))

    def close(self) -> int:
        """Stop watching; returns it."""
        self._over.set()
        self._thread.join()
        return self.most


def _resident(pid: int) -> int:
    try:
        statm = Path(f"/proc/{pid}/statm").read_text().split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # It has just ended.
        return 0
    # Without shared pages: every process has the same libraries.
    own = (int(statm[1]) - int(statm[2])) * os.sysconf("SC_PAGE_SIZE")
    counted = (int(child) for child in children if int(child) not in _Memory.without)
    return own + sum(map(_resident, counted))


def _run(
    url: str, folder: Path, sessions: Iterator[Session], *, stop: Stop, **how: Any
) -> tuple[PhaseSummary, Any]:
    arrivals = how.pop("arrivals", None)
    job = LoadJob(
        url=url,
        codec=COMPLETIONS,
        model="reference",
        dialect=Dialect(codecs=(COMPLETIONS,), token_id_prompts=True),
        sessions="",
        output=str(folder),
        stop=stop,
        **how,
    )
    with WorkerGroup(cpus=None, logs=folder) as group:
        summary = group.run(
            job,
            sessions,
            arrivals,
            on_progress=lambda _: None,
            interrupted=lambda: False,
            alive=lambda: True,
        )
    return summary, read_raw(folder)[0]


def _late_ms(records: Any) -> str:
    late = (records["sent_first_ns"] - records["scheduled_ns"]) / 1e6
    p50, p99 = np.percentile(late, (50, 99))
    return f"p50 {p50:.3f} ms, p99 {p99:.3f} ms"


def replay(url: str, folder: Path, trace: Path, speed: float) -> None:
    """Replay all requests of a trace; print the error of arrivals, and what was received."""
    from tokenbench_workload_trace.plugin import TraceOptions
    from tokenbench_workload_trace.workload import TraceWorkload

    class Ids:
        vocab_size, special_ids = 32_000, frozenset(range(300))

    workload = TraceWorkload(TraceOptions(file=str(trace)))
    context = WorkloadContext(tokenizer=Ids(), token_ids=True, chat=False)  # type: ignore[arg-type]
    times = arrival_times(LoadLevel(speed=speed), Stop(), 1, workload.arrivals_s())
    memory, begun = _Memory(), time.monotonic()
    rate = len(times) / (times[-1] / 1e9)
    sessions = workload.sessions(context, 1)
    summary, records = _run(url, folder, sessions, stop=Stop(), arrivals=times, rate_per_s=rate)
    error = np.abs(np.sort(records["sent_first_ns"]) - summary.started_ns - np.array(times)) / 1e6
    p50, p99 = np.percentile(error, (50, 99))
    exact = float(np.mean(records["n_out"] == records["asked_out"]))
    shared = records["asked_shared"].sum() / records["asked_in"].sum()
    print(f"replay of {len(times):,} requests, {speed:g} times as fast:")
    print(
        f"  {summary.turns:,} answered, {summary.failed} failed, {time.monotonic() - begun:.0f} s"
    )
    print(f"  error of arrivals p50 {p50:.3f} ms, p99 {p99:.3f} ms")
    print(f"  time without a prepared prompt: {summary.starved_ns / 1e9:.2f} s")
    print(f"  answers of exactly the asked length: {exact:.1%}; theoretical hit rate {shared:.1%}")
    print(f"  memory of all processes: {memory.close() / 2**20:,.0f} MiB")


def many(url: str, folder: Path, count: int, concurrency: int) -> None:
    """Many short sessions: memory, and whether each was recorded as complete."""
    memory, begun = _Memory(), time.monotonic()
    summary, _ = _run(url, folder, _small(), stop=Stop(sessions=count), concurrency=concurrency)
    rows = read_sessions(folder)
    complete = int((rows["status"] == SessionStatus.COMPLETE).sum())
    print(f"{count:,} sessions of two turns, {concurrency} in progress:")
    print(f"  {complete:,} complete, {summary.turns:,} turns, {time.monotonic() - begun:.0f} s")
    print(f"  memory of all processes: {memory.close() / 2**20:,.0f} MiB")


def contexts(url: str, folder: Path, lengths: tuple[int, ...]) -> None:
    """Dispatch delay of turns after tool time, by the length of the context."""
    print("dispatch delay of later turns, by context:")
    for tokens in lengths:
        where = folder / str(tokens)
        where.mkdir()
        _, records = _run(url, where, _long(tokens), stop=Stop(sessions=30), concurrency=1)
        print(f"  {tokens:>7,} tokens: {_late_ms(records[records['turn'] > 0])}")


@contextlib.contextmanager
def _server() -> Iterator[str]:
    """The scripted server, which answers at once; its memory does not count."""
    port = free_port()
    options = ("--ttft-s", "0", "--itl-s", "0", "--tokens-per-chunk", "64", "--coalesce", "8")
    argv = [sys.executable, "-m", "tokenbench_testing.server", "--port", str(port), *options]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, start_new_session=True) as process:
        assert process.stderr is not None
        process.stderr.readline()
        _Memory.without.add(process.pid)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def main() -> None:
    """Run the parts asked for, against one reference server."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--trace", type=Path, help="a trace to replay")
    parser.add_argument("--speed", type=float, default=60.0)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--contexts", default="500,64000")
    asked = parser.parse_args()
    lengths = tuple(int(text) for text in asked.contexts.split(","))
    with tempfile.TemporaryDirectory(prefix="tokenbench-benchmark-") as name:
        folder = Path(name)
        for part in ("contexts", "many", "replay"):
            (folder / part).mkdir()
        with _server() as url:
            contexts(url, folder / "contexts", lengths)
            many(url, folder / "many", asked.sessions, asked.concurrency)
            if asked.trace is not None:
                replay(url, folder / "replay", asked.trace, asked.speed)


if __name__ == "__main__":
    main()
