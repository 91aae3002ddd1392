"""Timestamps of reads on real sockets, with and without kernel timestamps."""

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
linux = pytest.mark.skipif(sys.platform != "linux", reason="kernel timestamps need Linux")
LATE_S = 0.1
SOON_NS = 50_000_000


class _Owner:
    """Keeps the reads that its reader passes on, with their timestamps."""

    def __init__(self) -> None:
        self.received: list[tuple[bytes, int]] = []
        self.ends: list[str] = []

    def data_received(self, data: bytes, arrived_ns: int, delay_ns: int) -> None:
        """A read that is not plain tokens."""
        self.received.append((data, arrived_ns))

    def connection_lost(self, error: str, now_ns: int) -> None:
        """The end of the connection."""
        self.ends.append(error)

    def resume_writing(self) -> None:
        """Not used here."""


@pytest.fixture
def receiver(each_path) -> Iterator[Receiver]:
    """The receiver of an event loop that samples every poll."""
    with contextlib.closing(EventLoop()) as loop:
        if each_path == "compiled":
            loop.poller.sampled = True  # type: ignore[attr-defined]
        yield Receiver(loop)


def _read(ours: socket.socket, receiver: Receiver) -> tuple[bytes, int]:
    """Read once; returns the data and its timestamp."""
    owner = _Owner()
    make_reader(ours, owner, receiver)(READ)
    (read,) = owner.received
    return read


def _template(read: bytes) -> ChunkTemplate:
    """The template of a read that is a token."""
    event = StreamEvent(token=True, text="a")
    template = make_template(read.partition(b"data: ")[2].rstrip(), event, (b'"text":"',))
    assert template is not None
    return template


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection over the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    yield ours, theirs
    ours.close()
    theirs.close()


def _wait_for_kernel_timestamps(
    ours: socket.socket, theirs: socket.socket, receiver: Receiver
) -> None:
    """Wait for kernel timestamps: they begin a moment after the first socket enables them."""
    for _ in range(100):
        receiver.kernel_timestamps = True
        theirs.send(b"x")
        _read(ours, receiver)
        if receiver.kernel_timestamps:
            return
        time.sleep(0.01)
    pytest.fail("no read had a kernel timestamp")


@linux
def test_a_late_read_has_the_arrival_time(ends, receiver) -> None:
    """Read 0.1 s after its arrival: the timestamp is the arrival, the delay is sampled."""
    ours, theirs = ends
    _wait_for_kernel_timestamps(ours, theirs, receiver)
    for number in range(3):
        before_ns = time.monotonic_ns()
        theirs.send(b"token")
        time.sleep(LATE_S)
        data, arrived_ns = _read(ours, receiver)
        assert data == b"token", number
        # Not before it was sent, within the accuracy of the clock offset.
        assert -50_000 < arrived_ns - before_ns < SOON_NS
    assert receiver.kernel_timestamps
    assert receiver.delays.percentiles()[2] >= LATE_S * 1e9 - SOON_NS


@linux
def test_a_merged_read_has_the_time_of_the_last_segment(ends, receiver) -> None:
    """Two segments in one read: the arrival of the first is unknown."""
    ours, theirs = ends
    _wait_for_kernel_timestamps(ours, theirs, receiver)
    theirs.send(b"one")
    time.sleep(LATE_S)
    before_ns = time.monotonic_ns()
    theirs.send(b"two")
    time.sleep(LATE_S)
    data, arrived_ns = _read(ours, receiver)
    assert data == b"onetwo"
    assert -50_000 < arrived_ns - before_ns < SOON_NS


def test_without_kernel_timestamps_the_time_after_the_read_is_used(receiver) -> None:
    """A socket of another family; `kernel_timestamps` is False afterwards."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"token")
        time.sleep(LATE_S)
        before_ns = time.monotonic_ns()
        data, arrived_ns = _read(ours, receiver)
    assert data == b"token"
    assert before_ns <= arrived_ns <= time.monotonic_ns()
    assert not receiver.kernel_timestamps
    # The socket may have been ready since the event loop was created.
    assert receiver.delays.percentiles()[0] >= LATE_S * 1e9


def test_other_systems_have_no_kernel_timestamps(ends, receiver, monkeypatch) -> None:
    """The socket option is not set."""
    ours, theirs = ends
    monkeypatch.setattr(sys, "platform", "darwin")
    read = receiver.read_function(ours)
    before_ns = time.monotonic_ns()
    theirs.send(b"token")
    data, arrived_ns = read()
    assert data == b"token"
    assert before_ns < arrived_ns <= time.monotonic_ns()
    assert not receiver.kernel_timestamps


def test_the_end_needs_no_kernel_timestamp(ends, receiver) -> None:
    """Only data counts for `kernel_timestamps`; the delay of the read is sampled."""
    ours, theirs = ends
    owner = _Owner()
    theirs.close()
    time.sleep(LATE_S)
    make_reader(ours, owner, receiver)(READ)
    assert (owner.received, owner.ends) == ([], [""])
    assert receiver.kernel_timestamps is (sys.platform == "linux")
    assert receiver.delays.percentiles()[0] >= LATE_S * 1e9


def test_clock_steps_are_remembered(receiver, monkeypatch) -> None:
    """The largest step stays, even if the clock is set back."""
    real = read_clocks()
    for step_ns in (0, 5_000_000, -9_000_000, 1_000):
        wall_ns = real.monotonic_ns + receiver.clock.offset_ns + step_ns
        pair = ClockPair(wall_ns=wall_ns, monotonic_ns=real.monotonic_ns)
        monkeypatch.setattr(socket_timestamps, "read_clocks", lambda pair=pair: pair)
        receiver.check_clock()
    assert receiver.clock_set_ns == -9_000_000
    monkeypatch.undo()
    receiver.check_clock()
    assert receiver.clock_set_ns == -9_000_000


def test_timestamps_never_decrease(ends, receiver) -> None:
    """They are not earlier than the request or the last timestamp, for tokens and other reads."""
    ours, theirs = ends
    owner, timestamps = _Owner(), native.timestamps()
    reader = make_reader(ours, owner, receiver)
    _, first, second, *_ = chunked(events(2))
    theirs.send(first)
    reader(READ)
    assert owner.received == [(first, reader.floor_ns)]
    floor_ns = reader.floor_ns = reader.floor_ns + 3_600_000_000_000
    template = _template(first)
    assert template.count_tokens(second) == 1
    for with_template in (True, False):
        theirs.send(second)
        reader.resume(template if with_template else None, timestamps)
        reader(READ)
    assert (list(timestamps), owner.received[1:]) == ([floor_ns], [(second, floor_ns)])
    assert (reader.floor_ns, reader.token_bytes) == (floor_ns, len(second))


def test_later_reads_wait_for_the_owner(ends, receiver) -> None:
    """Pending reads keep their order and timestamps; the end comes last."""
    ours, theirs = ends
    owner, timestamps = _Owner(), native.timestamps()
    reader = make_reader(ours, owner, receiver)
    receiver.poller.watch(ours.fileno(), reader)
    _, one, two, three, *_ = chunked(events(3))
    template = _template(one)
    arrivals = []
    for part in (b"first", one, two + three, b"odd", one, two):
        theirs.send(part)
        reader(READ)
        arrivals.append(reader.floor_ns)
    assert (owner.received, reader.pending) == ([(b"first", arrivals[0])], 5)
    theirs.close()
    assert receiver.poller.poll(60.0) == 1
    assert (owner.ends, reader.pending) == ([], 6)
    assert receiver.poller.poll(0) == 0, "the end is reported once"
    reader.resume(template, timestamps)
    assert list(timestamps) == [arrivals[1], arrivals[2], arrivals[2]]
    assert timestamps.coalesced == 1
    assert (owner.received[1:], owner.ends, reader.pending) == ([(b"odd", arrivals[3])], [], 3)
    assert len(receiver.merged_delays) == 1
    reader.resume(template, timestamps)
    assert (list(timestamps)[3:], owner.ends, reader.pending) == (arrivals[4:], [""], 0)
    assert reader.token_bytes == 2 * len(one + two) + len(three)
    assert len(owner.received) == 2


@linux
def test_merged_reads_of_a_late_client_are_sampled(start_server, run_here, each_path) -> None:
    """A client that is busy for three gaps reads several tokens at once. The samples show that
    these reads were late, although their timestamp, that of the last token, is recent.
    """

    def script(peer: Peer) -> None:
        while peer.request() is not None:
            for part in chunked(events(60)):
                time.sleep(0.01)
                peer.send(part)
            peer.send(b"0\r\n\r\n")

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
        result = run_here(start_server(script).url, 4, concurrency=2, loop=loop)
        over.set()
        poking.join()
    os.close(wake)
    os.close(poke)
    summary = result.summary
    assert summary.kernel_timestamps
    assert result.records["coalesced"].sum() > 20
    late = sum(delay > 5_000_000 for delay in summary.merged_delay_ns)
    assert late > 0.8 * len(summary.merged_delay_ns)


@linux
def test_a_phase_over_tcp_has_kernel_timestamps(start_server, run_here, each_path) -> None:
    """On new and on reused connections."""

    def script(peer: Peer) -> None:
        while peer.request() is not None:
            time.sleep(0.02)
            peer.send(*chunked(events(3)), b"0\r\n\r\n")

    server = start_server(script)
    result = run_here(server.url, 12, concurrency=4)
    assert result.statuses == ["OK"] * 12
    assert result.summary.kernel_timestamps
    assert (result.records["first_ns"] > result.records["sent_last_ns"]).all()


def test_no_latency_is_negative(start_server, run_here, each_path) -> None:
    """A server that answers before the request."""

    def script(peer: Peer) -> None:
        peer.send(whole())
        peer.until_closed()

    result = run_here(start_server(script).url, 1)
    records = result.records
    assert (records["first_ns"] >= records["sent_first_ns"]).all()
    assert (records["end_ns"] >= records["sent_first_ns"]).all()


def test_clocks_are_read_at_the_same_instant(monkeypatch) -> None:
    """The reading that was not interrupted is used; here every other one is interrupted."""
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
