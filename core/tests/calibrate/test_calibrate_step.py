"""A level measured for real: server, load workers, comparison."""

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

from tokenbench.api import CheckOutcome
from tokenbench.calibrate.machine import CoreTimes, available_cpus, busy_share
from tokenbench.calibrate.show import notes
from tokenbench.calibrate.step import CLIENT_CHECKS, Calibrator, Cores, Traffic, _varied


@pytest.fixture
def calibrator(tmp_path: Path) -> Iterator[Calibrator]:
    """Levels of one second, answers of 20 tokens (0.24 s)."""
    traffic = Traffic(seconds=1.0, tokens=20, least_requests=0)
    with Calibrator(traffic, Cores.of(available_cpus()), tmp_path, lambda: False) as made:
        yield made


def test_every_request_is_compared(calibrator: Calibrator) -> None:
    """All are matched; no token is read before it was sent; the checks of `bench run` judge."""
    step = calibrator.step(4)
    errors = step.errors
    assert errors.requests >= 8
    assert errors.tokens == sum(_varied(number, 20) for number in range(errors.requests))
    assert (errors.unmatched, errors.blocked, step.failed) == (0, 0, 0)
    for spread in (errors.ttft, errors.tpot, errors.itl, errors.e2e, errors.pickup):
        assert spread is not None
        # Of an exact client on a machine of its own: a tenth of a millisecond.
        assert 0.0 <= spread.mean <= spread.most < 2.0
    assert errors.ttft is not None and errors.ttft.mean > 0.0
    assert len(step.checks) == len(CLIENT_CHECKS) == 5
    assert step.tokens_per_s > 0


def test_a_client_that_stands_still_is_seen(calibrator: Calibrator) -> None:
    """A load worker stopped for a while: its own stamps cannot know, the truth does."""
    ended = threading.Event()

    def disturb() -> None:
        time.sleep(0.5)
        while not ended.is_set():
            for pid in calibrator.crew.pids:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(0.2)
            for pid in calibrator.crew.pids:
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


def test_nothing_of_a_level_stays_on_disk(calibrator: Calibrator, tmp_path: Path) -> None:
    """Records and truth go when they have been compared; logs of workers stay with the caller."""
    calibrator.step(1)
    assert all(path.name.startswith("load-worker") for path in tmp_path.iterdir())


def test_cores_are_dealt_out() -> None:
    """One to the server; one core alone serves both, and says so."""
    assert Cores.of((3, 5, 6)) == Cores(server=3, client=(5, 6), shared=False)
    assert Cores.of((2,)) == Cores(server=2, client=(2,), shared=True)


def test_a_busy_core_is_noticed() -> None:
    """The share is of the cores that were asked for."""
    core = available_cpus()[0]
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


def test_what_a_hypervisor_takes_is_noticed(monkeypatch) -> None:
    """Of the cores asked for, over the time between; None where nobody tells."""

    def say(*rows: str) -> CoreTimes:
        monkeypatch.setattr(Path, "read_text", lambda _: "\n".join(rows))
        return CoreTimes.of((1, 2))

    other = "cpu0 9 9 9 9 9 9 9 9 0 0"
    before = say("cpu  0 0", other, "cpu1 100 0 20 300 5 0 0 10 7 0", "cpu2 0 0 0 50 0 0 0 0 0 0")
    after = say("cpu  0 0", other, "cpu1 150 0 20 310 5 0 0 15 7 0", "cpu2 0 0 0 80 0 0 0 5 0 0")
    assert before.stolen_share(after) == pytest.approx(10 / 100)
    assert before.stolen_share(before) is None
    monkeypatch.undo()
    now = CoreTimes.of(available_cpus())
    assert now.total > now.idle >= 0 or sys.platform != "linux"
    plain = {"shared_core": False, "busy_share_before": 0.0, "steps": [{"stolen_share": 0.031}]}
    assert "took up to 3.1% of these cores' time" in notes(plain)[0]
    assert notes(plain | {"steps": [{"stolen_share": None}, {}]}) == []


def test_answers_vary_around_their_mean() -> None:
    """Between half and one and a half times; so that streams do not end together."""
    counts = [_varied(number, 128) for number in range(1000)]
    assert (min(counts), max(counts)) == (64, 191)
    assert 125 < sum(counts) / 1000 < 130
    assert all(a != b for a, b in itertools.pairwise(counts))
    assert {_varied(number, 1) for number in range(10)} == {1}
