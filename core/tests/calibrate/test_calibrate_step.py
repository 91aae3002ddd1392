"""Levels measured with a real server and real load workers."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tokenbench.api import CheckOutcome, UsageError
from tokenbench.calibrate import machine
from tokenbench.calibrate.machine import CoreTimes, busy_share, chosen_cores
from tokenbench.calibrate.show import notes
from tokenbench.calibrate.step import CLIENT_CHECKS, Calibrator, Traffic, _answer_tokens
from tokenbench.load.cores import available_cores


@pytest.fixture
def calibrator(tmp_path: Path) -> Iterator[Calibrator]:
    """Levels of one second, answers of 20 tokens (0.24 s)."""
    traffic = Traffic(seconds=1.0, tokens=20, min_requests=0)
    cores, count = chosen_cores((), 64)
    with Calibrator(traffic, cores, count, tmp_path, lambda: False) as calibrator:
        yield calibrator


def test_every_request_is_compared(calibrator: Calibrator) -> None:
    """All requests match; no token is read before it was sent; the checks of `bench run` run."""
    step = calibrator.step(4)
    errors = step.errors
    assert errors.requests >= 8
    assert errors.tokens == sum(_answer_tokens(number, 20) for number in range(errors.requests))
    assert (errors.unmatched, errors.blocked, step.failed) == (0, 0, 0)
    for spread in (errors.ttft, errors.tpot, errors.itl, errors.e2e, errors.pickup):
        assert spread is not None
        # About 0.1 ms on an idle machine; this one may be busy.
        assert 0.0 <= spread.mean <= spread.max < 2.0
    assert errors.ttft is not None and errors.ttft.mean > 0.0
    assert len(step.checks) == len(CLIENT_CHECKS) == 5
    assert step.load_workers == 1
    assert step.tokens_per_s > 0


def test_stopped_load_worker_is_detected(calibrator: Calibrator) -> None:
    """SIGSTOP delays reads: the errors show it, and so do the client's checks."""
    ended = threading.Event()

    def disturb() -> None:
        time.sleep(0.5)
        while not ended.is_set():
            for pid in calibrator.workers.pids:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(0.2)
            for pid in calibrator.workers.pids:
                os.kill(pid, signal.SIGCONT)
            ended.wait(0.1)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        step = calibrator.step(64)
    finally:
        ended.set()
        thread.join()
    assert step.errors.itl is not None and step.errors.itl.p99 > 0.05
    failed = {c.name for c in step.checks if c.outcome not in _GOOD}
    assert failed & {"client loop delay", "client dispatch delay"}, step.checks


_GOOD = (CheckOutcome.OK, CheckOutcome.NOT_ASSESSED)


def test_level_leaves_only_worker_logs(calibrator: Calibrator, tmp_path: Path) -> None:
    """Records and ground truth are removed after the comparison."""
    calibrator.step(1)
    names = [path.name for path in tmp_path.iterdir()]
    assert names and all(name.startswith("load-worker") for name in names)


def test_chosen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first requested core is the server's, each other one a load worker's; one is shared."""
    monkeypatch.setattr(machine, "available_cores", lambda: (2, 3, 5, 6))
    cores, count = chosen_cores((3, 5, 6), 1)
    assert (cores.engine, cores.workers, cores.shared) == ((3,), (5, 6), False)
    assert cores.load_workers(count, 1) == 2
    assert chosen_cores((2,), 1)[0].shared
    cores, count = chosen_cores((), 1)
    assert (cores.engine, cores.workers) == ((2, 3, 5), (6,))
    with pytest.raises(UsageError, match="CPU core 4 is not available"):
        chosen_cores((2, 4), 1)


def test_busy_core() -> None:
    """A process that spins on the core shows in its share."""
    core = available_cores()[0]
    ended = threading.Event()
    pid = os.fork()
    if pid == 0:
        os.sched_setaffinity(0, [core])
        while True:
            pass
    try:
        ended.wait(0.1)
        assert busy_share((core,)) > 0.3
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_stolen_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the given cores, between two readings; None if no time passed."""

    def read(*rows: str) -> CoreTimes:
        monkeypatch.setattr(Path, "read_text", lambda _: "\n".join(rows))
        return CoreTimes.of((1, 2))

    other = "cpu0 9 9 9 9 9 9 9 9 0 0"
    before = read("cpu  0 0", other, "cpu1 100 0 20 300 5 0 0 10 7 0", "cpu2 0 0 0 50 0 0 0 0 0 0")
    after = read("cpu  0 0", other, "cpu1 150 0 20 310 5 0 0 15 7 0", "cpu2 0 0 0 80 0 0 0 5 0 0")
    assert before.stolen_share(after) == pytest.approx(10 / 100)
    assert before.stolen_share(before) is None
    monkeypatch.undo()
    now = CoreTimes.of(available_cores())
    assert now.total > now.idle >= 0 or sys.platform != "linux"
    plain = {"shared_core": False, "busy_share_before": 0.0, "steps": [{"stolen_share": 0.031}]}
    assert "took up to 3.1 % of these cores' time" in notes(plain)[0]
    assert notes(plain | {"steps": [{"stolen_share": None}, {}]}) == []


def test_answer_lengths_vary_around_the_mean() -> None:
    """From 0.5 to 1.5 times the mean, so that requests do not end in step."""
    counts = [_answer_tokens(number, 128) for number in range(1000)]
    assert (min(counts), max(counts)) == (64, 191)
    assert 125 < sum(counts) / 1000 < 130
    assert all(a != b for a, b in itertools.pairwise(counts))
    assert {_answer_tokens(number, 1) for number in range(10)} == {1}
