"""The loop: who is called, in which order, with epoll and with what stands in for it elsewhere."""

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
    """An event loop whose poller, if compiled, reports at most 16 sockets per turn."""
    poller = native.module.Poller(max_events=16) if each_path == "compiled" else Poller()
    with contextlib.closing(EventLoop(poller)) as made:
        yield made


@pytest.fixture
def loop(each_path) -> Iterator[EventLoop]:
    """An event loop of each path; closing it twice is allowed."""
    made = EventLoop()
    yield made
    made.close()
    made.close()


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Two pairs of sockets."""
    made = [socket.socketpair() for _ in range(2)]
    yield made
    for pair in made:
        for end in pair:
            end.close()


def test_a_phase_without_epoll_and_timerfd(played, here, monkeypatch) -> None:
    """Small, but whole: all tokens of all requests, connections kept, an end by time."""
    monkeypatch.setattr(timers.sys, "platform", "elsewhere")

    def play(peer: Peer) -> None:
        while peer.request() is not None:
            peer.say(*chunked(events(10)), b"0\r\n\r\n")

    server = played(play)
    drove = here(server.url, 40, concurrency=4, loop=EventLoop(Poller()))
    assert drove.statuses == ["OK"] * 40
    assert drove.records["n_out"].tolist() == drove.records["chunks"].tolist() == [10] * 40
    assert sum(drove.reused) == 36
    assert server.connections == 4


def test_a_handler_may_forget_another_of_the_same_turn(loop, pairs) -> None:
    """Both were ready; the one that is forgotten is not called any more."""
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


def test_what_replaces_a_descriptor_is_watched(loop, pairs) -> None:
    """Forgotten, closed, and its number given to another: reported for the other."""
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


def test_watching_again_replaces_what_is_waited_for(loop, pairs) -> None:
    """Room to write is reported only while it is asked for."""
    masks: list[int] = []
    ours, theirs = pairs[0]
    loop.watch(ours.fileno(), masks.append, WRITE)
    loop.run_until(lambda: bool(masks))
    loop.watch(ours.fileno(), masks.append)
    theirs.send(b"x")
    loop.run_until(lambda: len(masks) > 1)
    assert [bool(mask & WRITE) for mask in masks] == [True, False]


def test_reading_comes_first_then_work_then_soon_then_idle(loop, pairs) -> None:
    """What handlers leave is done in pieces, in order, what follows from a piece after it; what can
    wait comes when all else is done.
    """
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


def test_what_can_wait_waits_while_anything_is_ready(loop, pairs) -> None:
    """Records are written when no token would have to wait for it."""
    done: list[str] = []
    ours, theirs = pairs[0]

    _note_reads(loop, ours, done)
    theirs.send(b"xxxxx")
    loop.call_when_idle(lambda: done.append("idle"))
    loop.run_until(lambda: "idle" in done)
    assert done == ["read"] * 5 + ["idle"]


def test_sockets_are_looked_at_between_pieces_of_work(loop, pairs) -> None:
    """A byte that comes while much is left to be done does not wait for all of it."""
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


def test_what_comes_again_and_again_does_not_hold_the_sockets_up(loop, pairs) -> None:
    """A function that asks to be called soon once more is, but after a look at the sockets."""
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


def test_since_when_something_may_have_been_ready(loop, pairs) -> None:
    """A byte that came during work waited for the work; one that a poll waited for did not."""
    ours, theirs = pairs[0]
    busy: list[int] = []
    idle: list[int] = []

    def work(data: bytes, now_ns: int) -> None:
        theirs.send(b"x")
        time.sleep(2e-3)

    def read(mask: int) -> None:
        late_ns = time.monotonic_ns() - loop.poller.ready_since_ns
        ours.recv(1)
        if len(busy) < 100:
            busy.append(late_ns)
            if len(busy) < 100:
                loop.deferred.append((work, (b"", 0)))
        else:
            idle.append(late_ns)

    loop.watch(ours.fileno(), read)
    theirs.send(b"x")
    loop.run_until(lambda: len(busy) == 100)
    # But for polls that were themselves interrupted, and so look as if they had waited.
    assert sorted(busy)[50] >= 2_000_000
    sender = threading.Thread(target=_send_slowly, args=(theirs, 100))
    sender.start()
    loop.run_until(lambda: len(idle) == 100)
    sender.join()
    # Half of them, however busy the machine: none waited for anything of ours.
    assert sorted(idle)[50] < 1_000_000


def test_what_a_full_poll_may_have_left_out_has_been_ready_since_before_it(few) -> None:
    """More sockets are ready than one poll reports: the last ones waited for all the others."""
    made = [socket.socketpair() for _ in range(100)]
    late: list[int] = []

    def read(ours: socket.socket) -> None:
        late.append(time.monotonic_ns() - few.poller.ready_since_ns)
        ours.recv(1)
        time.sleep(1e-4)

    for ours, theirs in made:
        few.watch(ours.fileno(), lambda _, ours=ours: read(ours))
        theirs.send(b"x")
    few.run_until(lambda: len(late) == len(made))
    assert late[-1] >= 90 * 100_000
    for pair in made:
        for end in pair:
            end.close()


def test_sockets_that_are_always_ready_starve_nobody(few, monkeypatch) -> None:
    """More of them than a poll reports: all are read, timers fire (where the system has none that
    can be polled, too), and since when they may have been ready is known to a turn or two.
    """
    monkeypatch.setattr(timers.sys, "platform", "elsewhere")
    made = [socket.socketpair() for _ in range(48)]
    reads = [0] * len(made)
    late: list[int] = []
    fired: list[int] = []
    with contextlib.closing(timers.Timers(few)) as clock:
        begun_ns = time.monotonic_ns()
        clock.call_at(begun_ns + 20_000_000, fired.append, 1)

        def read(number: int) -> None:
            reads[number] += 1
            late.append(time.monotonic_ns() - few.poller.ready_since_ns)

        for number, (ours, theirs) in enumerate(made):
            few.watch(ours.fileno(), lambda _, number=number: read(number))
            theirs.send(b"x")
        few.run_until(lambda: time.monotonic_ns() - begun_ns > 300_000_000)
    assert fired
    assert min(reads) > max(reads) / 2 > 0
    assert sorted(late)[len(late) // 2] < 100_000_000
    for pair in made:
        for end in pair:
            end.close()


@pytest.mark.parametrize("turns", [1, 2, 4, 5, 8, 16, 31, 32])
def test_every_place_of_a_batch_is_sampled(pairs, turns) -> None:
    """The compiled poller samples read delays in one turn of 16, whatever period the load has."""
    if native.module is None:
        pytest.skip("the C extension was not built here")
    ours, theirs = pairs[0]
    sampled = [0] * turns
    turn = 0

    def read(mask: int) -> None:
        nonlocal turn
        sampled[turn % turns] += loop.poller.sampled
        turn += 1

    with contextlib.closing(EventLoop()) as loop:
        loop.watch(ours.fileno(), read)
        theirs.send(b"x")
        loop.run_until(lambda: turn >= 4000)
    assert min(sampled) > 0
    assert 4000 / 20 < sum(sampled) < 4000 / 12


def _send_slowly(theirs: socket.socket, count: int) -> None:
    for _ in range(count):
        time.sleep(1e-3)
        theirs.send(b"x")


def _note_reads(loop: EventLoop, ours: socket.socket, done: list[str]) -> None:
    """Read a byte whenever one is there, and say so."""

    def read(mask: int) -> None:
        ours.recv(1)
        done.append("read")

    loop.watch(ours.fileno(), read)
