"""A client that stood still is noticed, in both loops, at the start, in the middle, at the end."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from array import array
from collections.abc import Callable
from typing import Any

import pytest

from tokenbench.api import Stop
from tokenbench.load import pauses, poller
from tokenbench.load.event_loop import EventLoop
from tokenbench.load.pauses import PauseWatch
from tokenbench.load.timers import Timers
from tokenbench.load.worker_handle import WorkerHandle

PAUSE_S = 0.3


def _pause(worker: WorkerHandle, after_s: float) -> threading.Thread:
    """Stop the worker for a while, some time after its load started."""

    def stop_and_continue() -> None:
        time.sleep(after_s)
        os.kill(worker.pid, signal.SIGSTOP)
        time.sleep(PAUSE_S)
        os.kill(worker.pid, signal.SIGCONT)

    thread = threading.Thread(target=stop_and_continue)
    thread.start()
    return thread


@pytest.fixture
def paused(serve, drive, worker, tmp_path) -> Callable[..., Any]:
    """The summary of a phase of one second in which the worker stood still."""

    def run(after_s: float, *, open_loop: bool) -> Any:
        threads: list[threading.Thread] = []

        def start_once() -> bool:
            # The load starts now: this is called after the worker was told to.
            if not threads and started:
                threads.append(_pause(worker, after_s))
            return False

        started: list[bool] = []
        send = worker.send

        def note(message: dict[str, Any]) -> None:
            send(message)
            if "start" in message:
                started.append(True)

        worker.send = note
        options: dict[str, Any] = {"stop": Stop(duration_s=1.0)}
        if open_loop:
            arrivals = tmp_path / "arrivals"
            arrivals.write_bytes(array("q", [n * 10_000_000 for n in range(300)]).tobytes())
            options.update(arrivals=str(arrivals), concurrency=None, rate_per_s=100.0)
        try:
            return drive(serve("--itl-s", "0.01"), interrupted=start_once, **options)
        finally:
            for thread in threads:
                thread.join()

    return run


@pytest.mark.serial
@pytest.mark.parametrize("open_loop", [False, True], ids=["closed loop", "open loop"])
@pytest.mark.parametrize("after_s", [0.1, 0.4, 0.85], ids=["start", "middle", "end"])
def test_a_stopped_worker_is_noticed(paused, after_s: float, open_loop: bool) -> None:
    """A stop of 0.3 s is a pause of 0.3 s."""
    summary = paused(after_s, open_loop=open_loop)
    assert 0.25e9 < summary.longest_pause_ns < 0.6e9
    assert summary.longest_pause_ns <= summary.paused_ns < 1.0e9


@pytest.mark.serial
def test_a_running_worker_has_no_pause(serve, drive) -> None:
    """Undisturbed, a loaded worker does not look like one that was stopped."""
    summary = drive(serve(), concurrency=32, stop=Stop(duration_s=1.0))
    assert summary.longest_pause_ns < 0.25e9


class _Clock:
    """Replaces the clocks, so that minutes take no time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = 5_000_000_000
        self.suspended_ns = 7_000_000_000
        monkeypatch.setattr(poller, "monotonic_ns", lambda: self.now_ns)
        monkeypatch.setattr(pauses, "_suspended_ns", lambda: self.suspended_ns)

    def wait(self, after_ms: float, suspended_ms: float = 0.0) -> None:
        """Let time pass."""
        self.now_ns += int(after_ms * 1e6)
        self.suspended_ns += int(suspended_ms * 1e6)


def test_only_long_gaps_are_pauses(monkeypatch) -> None:
    """A poll that is late by 40 ms or less is none; the longest wait is no part of a pause."""
    clock = _Clock(monkeypatch)
    polled = poller.Poller()
    watch = PauseWatch(polled)
    clock.wait(500)
    polled.poll(0)
    watch.start()
    for after_ms in (10, 12, 50, 11):
        clock.wait(after_ms)
        polled.poll(0)
    assert (watch.longest_ns, watch.total_ns) == (0, 0)
    for after_ms in (110, 61):
        clock.wait(after_ms)
        polled.poll(0)
    assert (watch.longest_ns, watch.total_ns) == (100_000_000, 151_000_000)
    clock.wait(300)
    watch.check()
    assert (watch.longest_ns, watch.total_ns) == (290_000_000, 441_000_000)
    watch.check()
    assert watch.total_ns == 441_000_000
    watch.start()
    assert (watch.longest_ns, watch.total_ns) == (0, 0)


def test_a_slow_handler_is_a_pause(each_path) -> None:
    """In both versions: what keeps the loop from polling, and no wait for events."""
    with contextlib.closing(EventLoop()) as loop, contextlib.closing(Timers(loop)) as timers:
        watch = PauseWatch(loop.poller)
        watch.start()
        _run_for(0.3, loop, timers)
        assert watch.total_ns == 0
        timers.call_at(0, time.sleep, 0.2)
        _run_for(0.1, loop, timers)
        watch.check()
        assert 0.18e9 <= watch.longest_ns == watch.total_ns < 0.4e9


def test_a_suspended_machine_is_noticed(monkeypatch) -> None:
    """The monotonic clock stands still meanwhile, so there is no gap, only a difference."""
    clock = _Clock(monkeypatch)
    watch = PauseWatch(poller.Poller())
    watch.start()
    clock.wait(10, suspended_ms=0.9)
    watch.check()
    assert watch.total_ns == 0
    clock.wait(10, suspended_ms=20_000)
    watch.check()
    watch.check()
    assert watch.longest_ns == watch.total_ns == 20_000_900_000
    clock.wait(0, suspended_ms=3_000)
    watch.check()
    assert (watch.longest_ns, watch.total_ns) == (20_000_900_000, 23_000_900_000)


def test_the_clocks_of_this_machine_agree() -> None:
    """The real difference does not move while the machine runs."""
    values = [pauses._suspended_ns() for _ in range(1000)]
    assert max(values) - max(values[:8]) < pauses._LEAST_SUSPENSION_NS


@pytest.mark.serial
def test_the_watch_costs_little(each_path) -> None:
    """The CPU time of two seconds in which nothing happens: 1 % of a core, in Python 3 %."""
    with contextlib.closing(EventLoop()) as loop, contextlib.closing(Timers(loop)) as timers:
        PauseWatch(loop.poller).start()
        used = time.process_time()
        _run_for(2.0, loop, timers)
        share = (time.process_time() - used) / 2.0
    assert share < (0.01 if each_path == "compiled" else 0.03)


def _run_for(seconds: float, loop: EventLoop, timers: Timers) -> None:
    ended: list[bool] = []
    timers.call_at(time.monotonic_ns() + int(seconds * 1e9), ended.append, True)
    loop.run_until(lambda: bool(ended))
