"""The event loop with both pollers: which handlers are called, and in which order."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tokenbench.load import native, timers
from tokenbench.load.event_loop import EventLoop
from tokenbench.load.poller import WRITE, Poller

from .peers import Peer, chunked, events

pytestmark = pytest.mark.timeout(60)
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def few(each_path) -> Iterator[EventLoop]:
    """An event loop whose poller, if compiled, reports at most 16 events per poll."""
    poller = native.module.Poller(max_events=16) if each_path == "compiled" else Poller()
    with contextlib.closing(EventLoop(poller)) as event_loop:
        yield event_loop


@pytest.fixture
def loop(each_path) -> Iterator[EventLoop]:
    """An event loop, closed twice."""
    event_loop = EventLoop()
    yield event_loop
    event_loop.close()
    event_loop.close()


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Two pairs of connected sockets."""
    found = [socket.socketpair() for _ in range(2)]
    yield found
    for pair in found:
        for end in pair:
            end.close()


def test_a_phase_without_epoll_and_timerfd(start_server, run_here, monkeypatch) -> None:
    """All tokens of all requests, keep-alive, an end in time."""
    monkeypatch.setattr(timers.sys, "platform", "elsewhere")

    def script(peer: Peer) -> None:
        while peer.request() is not None:
            peer.send(*chunked(events(10)), b"0\r\n\r\n")

    server = start_server(script)
    result = run_here(server.url, 40, concurrency=4, loop=EventLoop(Poller()))
    assert result.statuses == ["OK"] * 40
    assert result.records["n_out"].tolist() == result.records["chunks"].tolist() == [10] * 40
    assert sum(result.reused) == 36
    assert server.connections == 4


def test_a_handler_may_unwatch_another_of_the_same_poll(loop, pairs) -> None:
    """Both descriptors were ready; the other handler is not called."""
    called: list[int] = []
    ends = [ours.fileno() for ours, _ in pairs]

    def handler(number: int) -> None:
        called.append(number)
        loop.unwatch(ends[1 - number])

    for number, (ours, theirs) in enumerate(pairs):
        theirs.send(b"x")
        loop.watch(ours.fileno(), lambda _, number=number: handler(number))
    loop.run_until(lambda: bool(called))
    assert len(called) == 1


def test_a_reused_descriptor_number_is_watched(loop, pairs) -> None:
    """Unwatched, replaced by another socket, watched again: events are the other socket's."""
    called: list[str] = []
    (first, _), (second, theirs) = pairs
    fd = first.fileno()
    loop.watch(fd, lambda _: called.append("first"))
    loop.unwatch(fd)
    loop.unwatch(fd)
    os.dup2(second.fileno(), fd)
    loop.watch(fd, lambda _: called.append("second"))
    theirs.send(b"x")
    loop.run_until(lambda: bool(called))
    assert called == ["second"]


def test_watching_again_replaces_the_mask(loop, pairs) -> None:
    """WRITE is reported only as long as it is watched."""
    masks: list[int] = []
    ours, theirs = pairs[0]
    loop.watch(ours.fileno(), masks.append, WRITE)
    loop.run_until(lambda: bool(masks))
    loop.watch(ours.fileno(), masks.append)
    theirs.send(b"x")
    loop.run_until(lambda: len(masks) > 1)
    assert [bool(mask & WRITE) for mask in masks] == [True, False]


def test_order_of_reads_and_other_calls(loop, pairs) -> None:
    """First reads, then slices of deferred work, with soon calls between them, then idle calls."""
    done: list[str] = []
    ours, theirs = pairs[0]

    _note_reads(loop, ours, done)
    theirs.send(b"x")
    loop.call_when_idle(lambda: done.append("idle"))
    loop.call_soon(lambda: done.append("soon"))

    def work(data: bytes, now_ns: int) -> None:
        time.sleep(20e-6)
        done.append(f"{data!r}{now_ns}")

    for number in range(40):
        loop.deferred.append((work, (b"", number)))
    loop.run_until(lambda: "idle" in done)
    worked = [f"{b''!r}{number}" for number in range(40)]
    assert [it for it in done if it not in {"read", "soon", "idle"}] == worked
    assert done[0] == "read"
    assert done[-1] == "idle"
    assert 1 < done.index("soon") < 40


def test_idle_calls_wait_while_a_socket_is_ready(loop, pairs) -> None:
    """Writing records must not delay a read."""
    done: list[str] = []
    ours, theirs = pairs[0]

    _note_reads(loop, ours, done)
    theirs.send(b"xxxxx")
    loop.call_when_idle(lambda: done.append("idle"))
    loop.run_until(lambda: "idle" in done)
    assert done == ["read"] * 5 + ["idle"]


def test_sockets_are_polled_between_slices(loop, pairs) -> None:
    """A byte does not wait for all deferred work."""
    done: list[str] = []
    ours, theirs = pairs[0]

    def work(data: bytes, now_ns: int) -> None:
        if now_ns == 0:
            theirs.send(b"x")
        time.sleep(20e-6)
        done.append("work")

    _note_reads(loop, ours, done)
    for number in range(1000):
        loop.deferred.append((work, (b"", number)))
    loop.run_until(lambda: not loop.deferred)
    assert done.index("read") < 100


def test_repeated_soon_calls_do_not_block_reads(loop, pairs) -> None:
    """A function that calls `call_soon` again runs after the next poll."""
    calls, read = 0, False
    ours, theirs = pairs[0]

    def again() -> None:
        nonlocal calls
        calls += 1
        if calls < 1000:
            loop.call_soon(again)

    def ready(mask: int) -> None:
        nonlocal read
        read = True

    loop.watch(ours.fileno(), ready)
    loop.call_soon(lambda: theirs.send(b"x"))
    loop.call_soon(again)
    loop.run_until(lambda: read)
    assert calls < 100


def test_ready_since_covers_work_but_not_waiting(loop, pairs) -> None:
    """A byte that came during work waited for it; a byte that ended a wait did not."""
    ours, theirs = pairs[0]
    busy: list[int] = []
    idle: list[int] = []

    def work(data: bytes, now_ns: int) -> None:
        theirs.send(b"x")
        time.sleep(2e-3)

    def read(mask: int) -> None:
        delay_ns = time.monotonic_ns() - loop.poller.ready_since_ns
        ours.recv(1)
        if len(busy) < 100:
            busy.append(delay_ns)
            if len(busy) < 100:
                loop.deferred.append((work, (b"", 0)))
        else:
            idle.append(delay_ns)

    loop.watch(ours.fileno(), read)
    theirs.send(b"x")
    loop.run_until(lambda: len(busy) == 100)
    # The median, because a poll that was interrupted looks like one that waited.
    assert sorted(busy)[50] >= 2_000_000
    sender = threading.Thread(target=_send_slowly, args=(theirs, 100))
    sender.start()
    loop.run_until(lambda: len(idle) == 100)
    sender.join()
    # The median again: on a busy machine, some are delayed by other processes.
    assert sorted(idle)[50] < 1_000_000


def test_ready_since_covers_full_polls(few) -> None:
    """With more ready sockets than one poll reports, the last ones waited for all others."""
    sockets = [socket.socketpair() for _ in range(100)]
    delays: list[int] = []

    def read(ours: socket.socket) -> None:
        delays.append(time.monotonic_ns() - few.poller.ready_since_ns)
        ours.recv(1)
        time.sleep(1e-4)

    for ours, theirs in sockets:
        few.watch(ours.fileno(), lambda _, ours=ours: read(ours))
        theirs.send(b"x")
    few.run_until(lambda: len(delays) == len(sockets))
    assert delays[-1] >= 90 * 100_000
    for pair in sockets:
        for end in pair:
            end.close()


def test_full_polls_are_fair(few, monkeypatch) -> None:
    """If more sockets are ready than a poll reports, all are read, and timers are called."""
    monkeypatch.setattr(timers.sys, "platform", "elsewhere")
    sockets = [socket.socketpair() for _ in range(48)]
    reads = [0] * len(sockets)
    delays: list[int] = []
    calls: list[int] = []
    with contextlib.closing(timers.Timers(few)) as clock:
        begun_ns = time.monotonic_ns()
        clock.call_at(begun_ns + 20_000_000, calls.append, 1)

        def read(number: int) -> None:
            reads[number] += 1
            delays.append(time.monotonic_ns() - few.poller.ready_since_ns)

        for number, (ours, theirs) in enumerate(sockets):
            few.watch(ours.fileno(), lambda _, number=number: read(number))
            theirs.send(b"x")
        few.run_until(lambda: time.monotonic_ns() - begun_ns > 300_000_000)
    assert calls
    assert min(reads) > max(reads) / 2 > 0
    assert sorted(delays)[len(delays) // 2] < 100_000_000
    for pair in sockets:
        for end in pair:
            end.close()


@pytest.mark.parametrize("period", [1, 2, 4, 5, 8, 16, 31, 32])
def test_sampled_polls_have_no_period(pairs, period) -> None:
    """One of 16 polls is sampled on average, in every phase of a periodic load (compiled only)."""
    if native.module is None:
        pytest.skip("the C extension is not built")
    ours, theirs = pairs[0]
    sampled = [0] * period
    polls = 0

    def read(mask: int) -> None:
        nonlocal polls
        sampled[polls % period] += loop.poller.sampled
        polls += 1

    with contextlib.closing(EventLoop()) as loop:
        loop.watch(ours.fileno(), read)
        theirs.send(b"x")
        loop.run_until(lambda: polls >= 4000)
    assert min(sampled) > 0
    assert 4000 / 20 < sum(sampled) < 4000 / 12


def _send_slowly(theirs: socket.socket, count: int) -> None:
    for _ in range(count):
        time.sleep(1e-3)
        theirs.send(b"x")


def _note_reads(loop: EventLoop, ours: socket.socket, done: list[str]) -> None:
    """Append "read" to `done` for each byte that was read."""

    def read(mask: int) -> None:
        ours.recv(1)
        done.append("read")

    loop.watch(ours.fileno(), read)
