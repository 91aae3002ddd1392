"""Stamps of reads: the kernel's where it gives them, on real sockets."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Iterator

import pytest

from tokenbench.api import COMPLETIONS
from tokenbench.load import clocks, receive
from tokenbench.load.clocks import read_clocks
from tokenbench.load.codecs import find_codec
from tokenbench.load.connection import Connection
from tokenbench.load.exchange import Exchange
from tokenbench.load.reactor import READ, Reactor
from tokenbench.load.receive import ROOM, Receiver
from tokenbench.load.records import ClockPair

from .peers import Peer, chunked, events, whole

pytestmark = pytest.mark.timeout(60)
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux stamps what TCP receives")
LATE_S = 0.1
SOON_NS = 50_000_000


class _Pool:
    def release(self, connection: Connection) -> None:
        """Not looked at."""

    def lost(self, connection: Connection, exchange: Exchange | None, reason: str) -> None:
        """Not looked at."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Of a reactor that times every turn."""
    with contextlib.closing(Reactor()) as reactor:
        reactor.timed = True
        yield Receiver(reactor)


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
    read = receiver.reader(ours)
    for _ in range(100):
        receiver.kernel = True
        theirs.send(b"x")
        read()
        if receiver.kernel:
            return
        time.sleep(0.01)
    pytest.fail("no read had a stamp of the kernel's")


@linux
def test_a_late_read_has_the_stamp_of_the_arrival(ends, receiver) -> None:
    """Read a tenth of a second after it came: the stamp is of when it came, the delay is told."""
    ours, theirs = ends
    _stamping(ours, theirs, receiver)
    read = receiver.reader(ours)
    for number in range(3):
        before_ns = time.monotonic_ns()
        theirs.send(b"token")
        time.sleep(LATE_S)
        size, came_ns = read()
        assert bytes(ROOM[:size]) == b"token", number
        # No earlier than it was sent (but for what two readings of a clock are apart).
        assert -50_000 < came_ns - before_ns < SOON_NS
    assert receiver.kernel
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
    size, came_ns = receiver.reader(ours)()
    assert bytes(ROOM[:size]) == b"onetwo"
    assert -50_000 < came_ns - before_ns < SOON_NS


def test_without_the_kernel_a_stamp_is_the_moment_after_the_read(receiver) -> None:
    """A socket of another family: stamped by this process, and it is told."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        read = receiver.reader(ours)
        theirs.send(b"token")
        time.sleep(LATE_S)
        before_ns = time.monotonic_ns()
        size, came_ns = read()
    assert size == 5
    assert before_ns <= came_ns <= time.monotonic_ns()
    assert not receiver.kernel
    # Since the reactor was made: as long as the socket may have been ready.
    assert receiver.delays.percentiles()[0] >= LATE_S * 1e9


def test_elsewhere_than_on_linux_reads_are_stamped_here(ends, receiver, monkeypatch) -> None:
    """The kernel is not asked."""
    ours, theirs = ends
    monkeypatch.setattr(sys, "platform", "darwin")
    read = receiver.reader(ours)
    before_ns = time.monotonic_ns()
    theirs.send(b"token")
    size, came_ns = read()
    assert size == 5
    assert before_ns < came_ns <= time.monotonic_ns()
    assert not receiver.kernel


def test_the_end_is_no_arrival(ends, receiver) -> None:
    """It has no stamp of the kernel's, and needs none; that it was read late is told."""
    ours, theirs = ends
    read = receiver.reader(ours)
    theirs.close()
    time.sleep(LATE_S)
    assert read()[0] == 0
    assert receiver.kernel is (sys.platform == "linux")
    assert receiver.delays.percentiles()[0] >= LATE_S * 1e9


def test_a_clock_that_is_set_and_set_back_is_seen(receiver, monkeypatch) -> None:
    """The most that it was off at any look stays."""
    real = read_clocks()
    for ahead_ns in (0, 5_000_000, -9_000_000, 1_000):
        wall_ns = real.monotonic_ns + receiver.clock.ahead_ns + ahead_ns
        pair = ClockPair(wall_ns=wall_ns, monotonic_ns=real.monotonic_ns)
        monkeypatch.setattr(receive, "read_clocks", lambda pair=pair: pair)
        receiver.look_at_clock()
    assert receiver.clock_set_ns == -9_000_000
    monkeypatch.undo()
    receiver.look_at_clock()
    assert receiver.clock_set_ns == -9_000_000


@pytest.mark.parametrize(
    ("stamps", "seen"),
    [
        ([9_000, 8_000, 12_000], [9_000, 9_000, 12_000]),  # behind a lost segment
        ([-5_000, -4_000, 1_000], [0, 0, 1_000]),  # there before anything was asked
    ],
)
def test_no_stamp_is_before_the_one_before(stamps, seen) -> None:
    """Nor before the request; whether a read is parsed or plain."""
    head, *chunks = chunked(events(3))
    parts = [head + chunks[0], chunks[1], b"".join(chunks[2:]) + b"0\r\n\r\n"]
    ended: list[Exchange] = []
    ours, theirs = socket.socketpair()
    with contextlib.closing(Reactor()) as reactor, ours, theirs:
        ours.setblocking(False)
        connection = Connection(ours, Receiver(reactor), _Pool(), reactor)
        codec = find_codec(COMPLETIONS, None)
        exchange = Exchange(0, 0, b"request", (1, 3, True), codec, 0, None, ended.append)
        connection.send(exchange)
        for part, stamp in zip(parts, stamps, strict=True):
            ROOM[: len(part)] = part
            read = len(part), exchange.sent_first_ns + stamp
            connection._read = lambda read=read: read
            connection.ready(READ)
        reactor.run_until(lambda: bool(ended))
    assert [ns - exchange.sent_first_ns for ns in exchange.stamps] == seen


@linux
def test_a_client_that_merges_tokens_itself_is_told(played, here, monkeypatch) -> None:
    """Busy for three gaps again and again: it is known that reads with several tokens were late,
    although the kernel's stamp, that of the last, is young.
    """

    def play(peer: Peer) -> None:
        while peer.request() is not None:
            for part in chunked(events(60)):
                time.sleep(0.01)
                peer.say(part)
            peer.say(b"0\r\n\r\n")

    class Busy(Reactor):
        def _turned(self, handed: int, polled_ns: int) -> None:
            super()._turned(handed, polled_ns)
            if not handed and self.turns % 7 == 0:
                time.sleep(0.03)
            self.turns += 1

        turns = 0

    with contextlib.closing(Busy()) as reactor:
        drove = here(played(play).url, 4, concurrency=2, reactor=reactor)
    summary = drove.summary
    assert summary.kernel_stamps
    assert drove.records["coalesced"].sum() > 20
    late = sum(delay > 5_000_000 for delay in summary.merged_delay_ns)
    assert late > 0.8 * len(summary.merged_delay_ns)


@linux
def test_a_phase_tells_that_its_stamps_are_the_kernels(played, here) -> None:
    """Every read of a phase over TCP, connections kept and new."""

    def play(peer: Peer) -> None:
        while peer.request() is not None:
            time.sleep(0.02)
            peer.say(*chunked(events(3)), b"0\r\n\r\n")

    server = played(play)
    drove = here(server.url, 12, concurrency=4)
    assert drove.statuses == ["OK"] * 12
    assert drove.summary.kernel_stamps
    assert (drove.records["first_ns"] > drove.records["sent_last_ns"]).all()


def test_what_lay_there_before_the_request_is_not_before_it(played, here) -> None:
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
    assert abs(read_clocks().ahead_ns - 7_000_000_000) <= 100
    monkeypatch.undo()
    real = read_clocks()
    assert abs(real.ahead_ns - (time.time_ns() - time.monotonic_ns())) < 1_000_000_000
