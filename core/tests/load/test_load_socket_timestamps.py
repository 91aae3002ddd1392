"""Timestamps of reads: the kernel's where it gives them, on real sockets."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tokenbench.api import StreamEvent
from tokenbench.load import clocks, native, socket_timestamps
from tokenbench.load.chunk_template import ChunkTemplate, make_template
from tokenbench.load.clocks import read_clocks
from tokenbench.load.event_loop import EventLoop
from tokenbench.load.poller import READ
from tokenbench.load.records import ClockPair
from tokenbench.load.socket_timestamps import Receiver
from tokenbench.load.token_reader import make_reader

from .peers import Peer, chunked, events, whole

pytestmark = pytest.mark.timeout(60)
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux stamps what TCP receives")
LATE_S = 0.1
SOON_NS = 50_000_000


class _Owner:
    """Keeps what is left to it, with the stamps."""

    def __init__(self) -> None:
        self.left: list[tuple[bytes, int]] = []
        self.ends: list[str] = []

    def data_received(self, data: bytes, arrived_ns: int, delay_ns: int) -> None:
        """What is no plain token."""
        self.left.append((data, arrived_ns))

    def connection_lost(self, error: str, now_ns: int) -> None:
        """The end."""
        self.ends.append(error)

    def resume_writing(self) -> None:
        """Not looked at."""


@pytest.fixture
def receiver(each_path) -> Iterator[Receiver]:
    """Of a reactor that times every turn."""
    with contextlib.closing(EventLoop()) as loop:
        if each_path == "compiled":
            loop.poller.sampled = True  # type: ignore[attr-defined]
        yield Receiver(loop)


def _read(ours: socket.socket, receiver: Receiver) -> tuple[bytes, int]:
    """What is there, and its stamp."""
    owner = _Owner()
    make_reader(ours, owner, receiver)(READ)
    (seen,) = owner.left
    return seen


def _template(read: bytes) -> ChunkTemplate:
    """Of a read that is a token."""
    event = StreamEvent(token=True, text="a")
    made = make_template(read.partition(b"data: ")[2].rstrip(), event, (b'"text":"',))
    assert made is not None
    return made


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection, over the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    yield ours, theirs
    ours.close()
    theirs.close()


def _stamping(ours: socket.socket, theirs: socket.socket, receiver: Receiver) -> None:
    """Wait until the kernel stamps: it begins a moment after the first socket asks it to."""
    for _ in range(100):
        receiver.kernel_timestamps = True
        theirs.send(b"x")
        _read(ours, receiver)
        if receiver.kernel_timestamps:
            return
        time.sleep(0.01)
    pytest.fail("no read had a stamp of the kernel's")


@linux
def test_a_late_read_has_the_stamp_of_the_arrival(ends, receiver) -> None:
    """Read a tenth of a second after it came: the stamp is of when it came, the delay is told."""
    ours, theirs = ends
    _stamping(ours, theirs, receiver)
    for number in range(3):
        before_ns = time.monotonic_ns()
        theirs.send(b"token")
        time.sleep(LATE_S)
        data, came_ns = _read(ours, receiver)
        assert data == b"token", number
        # No earlier than it was sent (but for what two readings of a clock are apart).
        assert -50_000 < came_ns - before_ns < SOON_NS
    assert receiver.kernel_timestamps
    assert receiver.delays.percentiles()[2] >= LATE_S * 1e9 - SOON_NS


@linux
def test_what_is_read_together_has_the_stamp_of_the_last(ends, receiver) -> None:
    """Two segments in one read: nobody tells when the first came."""
    ours, theirs = ends
    _stamping(ours, theirs, receiver)
    theirs.send(b"one")
    time.sleep(LATE_S)
    before_ns = time.monotonic_ns()
    theirs.send(b"two")
    time.sleep(LATE_S)
    data, came_ns = _read(ours, receiver)
    assert data == b"onetwo"
    assert -50_000 < came_ns - before_ns < SOON_NS


def test_without_the_kernel_a_stamp_is_the_moment_after_the_read(receiver) -> None:
    """A socket of another family: stamped by this process, and it is told."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"token")
        time.sleep(LATE_S)
        before_ns = time.monotonic_ns()
        data, came_ns = _read(ours, receiver)
    assert data == b"token"
    assert before_ns <= came_ns <= time.monotonic_ns()
    assert not receiver.kernel_timestamps
    # Since the reactor was made: as long as the socket may have been ready.
    assert receiver.delays.percentiles()[0] >= LATE_S * 1e9


def test_elsewhere_than_on_linux_reads_are_stamped_here(ends, receiver, monkeypatch) -> None:
    """The kernel is not asked."""
    ours, theirs = ends
    monkeypatch.setattr(sys, "platform", "darwin")
    read = receiver.read_function(ours)
    before_ns = time.monotonic_ns()
    theirs.send(b"token")
    data, came_ns = read()
    assert data == b"token"
    assert before_ns < came_ns <= time.monotonic_ns()
    assert not receiver.kernel_timestamps


def test_the_end_is_no_arrival(ends, receiver) -> None:
    """It has no stamp of the kernel's, and needs none; that it was read late is told."""
    ours, theirs = ends
    owner = _Owner()
    theirs.close()
    time.sleep(LATE_S)
    make_reader(ours, owner, receiver)(READ)
    assert (owner.left, owner.ends) == ([], [""])
    assert receiver.kernel_timestamps is (sys.platform == "linux")
    assert receiver.delays.percentiles()[0] >= LATE_S * 1e9


def test_a_clock_that_is_set_and_set_back_is_seen(receiver, monkeypatch) -> None:
    """The most that it was off at any look stays."""
    real = read_clocks()
    for ahead_ns in (0, 5_000_000, -9_000_000, 1_000):
        wall_ns = real.monotonic_ns + receiver.clock.offset_ns + ahead_ns
        pair = ClockPair(wall_ns=wall_ns, monotonic_ns=real.monotonic_ns)
        monkeypatch.setattr(socket_timestamps, "read_clocks", lambda pair=pair: pair)
        receiver.check_clock()
    assert receiver.clock_set_ns == -9_000_000
    monkeypatch.undo()
    receiver.check_clock()
    assert receiver.clock_set_ns == -9_000_000


def test_no_stamp_is_before_the_one_before(ends, receiver) -> None:
    """Nor before the request; whether a read is plain or not."""
    ours, theirs = ends
    owner, timestamps = _Owner(), native.timestamps()
    reader = make_reader(ours, owner, receiver)
    _, first, second, *_ = chunked(events(2))
    theirs.send(first)
    reader(READ)
    assert owner.left == [(first, reader.floor_ns)]
    floor_ns = reader.floor_ns = reader.floor_ns + 3_600_000_000_000
    template = _template(first)
    assert template.count_tokens(second) == 1
    for taking in (True, False):
        theirs.send(second)
        reader.resume(template if taking else None, timestamps)
        reader(READ)
    assert (list(timestamps), owner.left[1:]) == ([floor_ns], [(second, floor_ns)])
    assert (reader.floor_ns, reader.token_bytes) == (floor_ns, len(second))


def test_what_comes_behind_a_read_waits_for_it(ends, receiver) -> None:
    """Whatever the owner is to look at first keeps its place, its stamp, and the end behind it."""
    ours, theirs = ends
    owner, timestamps = _Owner(), native.timestamps()
    reader = make_reader(ours, owner, receiver)
    receiver.poller.watch(ours.fileno(), reader)
    _, one, two, three, *_ = chunked(events(3))
    template = _template(one)
    came = []
    for part in (b"first", one, two + three, b"odd", one, two):
        theirs.send(part)
        reader(READ)
        came.append(reader.floor_ns)
    assert (owner.left, reader.pending) == ([(b"first", came[0])], 5)
    theirs.close()
    assert receiver.poller.poll(60.0) == 1
    assert (owner.ends, reader.pending) == ([], 6)
    assert receiver.poller.poll(0) == 0, "an end is told once"
    reader.resume(template, timestamps)
    assert list(timestamps) == [came[1], came[2], came[2]]
    assert timestamps.coalesced == 1
    assert (owner.left[1:], owner.ends, reader.pending) == ([(b"odd", came[3])], [], 3)
    assert len(receiver.merged_delays) == 1
    reader.resume(template, timestamps)
    assert (list(timestamps)[3:], owner.ends, reader.pending) == (came[4:], [""], 0)
    assert reader.token_bytes == 2 * len(one + two) + len(three)
    assert len(owner.left) == 2


@linux
def test_a_client_that_merges_tokens_itself_is_told(played, here, each_path) -> None:
    """Busy for three gaps again and again: it is known that reads with several tokens were late,
    although the kernel's stamp, that of the last, is young.
    """

    def play(peer: Peer) -> None:
        while peer.request() is not None:
            for part in chunked(events(60)):
                time.sleep(0.01)
                peer.say(part)
            peer.say(b"0\r\n\r\n")

    wake, poke = os.pipe()

    def busy(mask: int) -> None:
        os.read(wake, 1)
        time.sleep(0.03)

    def keep_poking() -> None:
        with contextlib.suppress(OSError):
            while not over.wait(0.07):
                os.write(poke, b"x")

    over = threading.Event()
    poking = threading.Thread(target=keep_poking)
    with contextlib.closing(EventLoop()) as loop:
        loop.watch(wake, busy)
        poking.start()
        drove = here(played(play).url, 4, concurrency=2, loop=loop)
        over.set()
        poking.join()
    os.close(wake)
    os.close(poke)
    summary = drove.summary
    assert summary.kernel_timestamps
    assert drove.records["coalesced"].sum() > 20
    late = sum(delay > 5_000_000 for delay in summary.merged_delay_ns)
    assert late > 0.8 * len(summary.merged_delay_ns)


@linux
def test_a_phase_tells_that_its_stamps_are_the_kernels(played, here, each_path) -> None:
    """Every read of a phase over TCP, connections kept and new."""

    def play(peer: Peer) -> None:
        while peer.request() is not None:
            time.sleep(0.02)
            peer.say(*chunked(events(3)), b"0\r\n\r\n")

    server = played(play)
    drove = here(server.url, 12, concurrency=4)
    assert drove.statuses == ["OK"] * 12
    assert drove.summary.kernel_timestamps
    assert (drove.records["first_ns"] > drove.records["sent_last_ns"]).all()


def test_what_lay_there_before_the_request_is_not_before_it(played, here, each_path) -> None:
    """A server that answers before it was asked: no latency is negative."""

    def play(peer: Peer) -> None:
        peer.say(whole())
        peer.until_closed()

    drove = here(played(play).url, 1)
    records = drove.records
    assert (records["first_ns"] >= records["sent_first_ns"]).all()
    assert (records["end_ns"] >= records["sent_first_ns"]).all()


def test_clocks_are_read_at_the_same_instant(monkeypatch) -> None:
    """Of many readings, one between which nothing else ran: here each other one is interrupted."""
    now, calls = 1_000_000, 0

    def clock() -> int:
        nonlocal now, calls
        calls += 1
        now += 5_000_000 if calls % 6 == 2 else 100
        return now

    monkeypatch.setattr(clocks, "monotonic_ns", clock)
    monkeypatch.setattr(clocks, "time_ns", lambda: clock() + 7_000_000_000)
    assert abs(read_clocks().offset_ns - 7_000_000_000) <= 100
    monkeypatch.undo()
    real = read_clocks()
    assert abs(real.offset_ns - (time.time_ns() - time.monotonic_ns())) < 1_000_000_000
