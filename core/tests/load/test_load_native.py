"""The compiled part: that it is there, is of this source, and does as its twins in Python do."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import weakref
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenbench.api import StreamEvent
from tokenbench.load import native
from tokenbench.load.chunk_template import ChunkTemplate, make_template
from tokenbench.load.event_loop import EventLoop
from tokenbench.load.poller import READ, WRITE, Poller
from tokenbench.load.socket_timestamps import READ_BYTES, Receiver
from tokenbench.load.token_reader import TokenReader, make_reader

pytestmark = pytest.mark.timeout(60)
HEADERS = Path(sysconfig.get_path("include"), "Python.h").exists()
BUILT_HERE = sys.platform == "linux" and HEADERS and any(map(shutil.which, ("cc", "gcc", "clang")))
compiled = pytest.mark.skipif(native.module is None, reason="the compiled part was not built here")


class _Owner:
    """Of a reader: what was left to it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.left: list[bytes] = []
        self.error = error

    def data_received(self, data: bytes, arrived_ns: int, delay_ns: int) -> None:
        """What is no plain token."""
        self.left.append(data)
        if self.error is not None:
            raise self.error

    def connection_lost(self, error: str, now_ns: int) -> None:
        """Not looked at."""

    def resume_writing(self) -> None:
        """Not looked at."""


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a stream."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


@pytest.mark.skipif(not BUILT_HERE, reason="no compiler")
@pytest.mark.skipif("TOKENBENCH_PURE" in os.environ, reason="it is not wanted")
def test_it_is_built_where_it_can_be() -> None:
    """By whatever installed this package."""
    assert native.module is not None, "not built: install core again"


def test_it_can_be_turned_off() -> None:
    """By the environment, for whoever wants to know whether a figure is its fault."""
    code = (
        "from tokenbench.load import native; print(native.path(), type(native.poller()).__module__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TOKENBENCH_PURE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["python", "tokenbench.load.poller"]


BEFORE, AFTER = b'{"a":"b","text":"', b'","c":null}'


def _chunk(text: bytes, after: bytes = AFTER) -> bytes:
    event = b"data: " + BEFORE + text + after + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(event), event)


def _template(after: bytes = AFTER) -> ChunkTemplate:
    event = StreamEvent(token=True, text="x")
    made = make_template(BEFORE + b"x" + after, event, (b'"text":"',))
    assert made is not None
    return made


@compiled
@settings(max_examples=300)
@given(
    texts=st.lists(st.binary(max_size=200), min_size=1, max_size=4),
    at=st.floats(0, 1),
    cut=st.integers(0, 3),
    put=st.sampled_from(
        [b"", b'"', b"\\", b"0", b"a", b"A", b"\r\n", b"\n\n\r\n", b"0x", b" ", b"-"]
    ),
    lower=st.booleans(),
    after=st.sampled_from([AFTER, b'"}']),
)
def test_it_takes_what_the_stencil_counts(
    texts: list[bytes], at: float, cut: int, put: bytes, lower: bool, after: bytes
) -> None:
    """Tokens of any text, damaged at any place: as many, or none, are taken."""
    data = b"".join(_chunk(text, after) for text in texts)
    place = int(at * len(data))
    data = data[:place] + put + data[place + cut :]
    if not lower:
        size, line_end, rest = data.partition(b"\r\n")
        data = size.upper() + line_end + rest
    plain = _template(after)
    counted = plain.count_tokens(data)
    for polled in (native.module.Poller(), Poller()):
        taken, left = _read_by(polled, data, plain)
        assert taken == counted
        assert left == ([] if counted or not data else [data])


@pytest.mark.parametrize(
    "text", [b"a\n\ndata: b", b"\n", b"\r", b"\0", b"\x1f", b'"', b"\\n", b"", b'","text":"']
)
def test_what_is_no_text_of_a_string_is_no_token(each_path, text: bytes) -> None:
    """A parser would refuse it, or find something else in it."""
    data = _chunk(text)
    plain = _template()
    assert (plain.count_tokens(data), plain.count_tokens(_chunk(b"x") + data)) == (0, 0)
    assert plain.count_tokens(_chunk("x\x7fé".encode()) * 2) == 2
    assert _read_by(native.poller(), data, plain) == (0, [data])


def _read_by(polled: Poller, data: bytes, plain: ChunkTemplate) -> tuple[int, list[bytes]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    owner, timestamps = _Owner(), native.timestamps()
    with contextlib.closing(EventLoop(polled)) as loop, ours, theirs:
        reader = make_reader(ours, owner, Receiver(loop))
        reader.resume(plain, timestamps)
        theirs.sendall(data)
        reader(READ)
        assert reader.token_bytes == (len(data) if timestamps else 0)
    return len(timestamps), owner.left


@pytest.mark.parametrize("count", [0, 1, 16, 17, 1000])
def test_stamps_are_a_buffer_of_what_was_appended(each_path, count: int) -> None:
    """Any number, from either end, also negative ones; as the recorder takes them."""
    values = [(-1) ** n * (n // 2) * 10**15 for n in range(count)]
    timestamps = native.timestamps()
    for value in values:
        timestamps.append(value)
    assert (len(timestamps), list(timestamps), bool(timestamps)) == (count, values, count > 0)
    assert bytes(memoryview(timestamps)) == array("q", values).tobytes()
    same = sum(a == b for a, b in itertools.pairwise(values))
    assert timestamps.coalesced == same
    for index in (count, -count - 1):
        with pytest.raises(IndexError):
            timestamps[index]
    if count:
        assert (timestamps[0], timestamps[-1]) == (values[0], values[-1])
    for wrong in (2**63, 1.5, None):
        with pytest.raises((OverflowError, TypeError)):
            timestamps.append(wrong)  # type: ignore[arg-type]
    assert len(timestamps) == count


def test_stamps_do_not_move_while_somebody_looks_at_them(each_path) -> None:
    """An append that needs more room is refused then, and taken afterwards."""
    timestamps = native.timestamps()
    with memoryview(timestamps), pytest.raises(BufferError):
        timestamps.append(7)
    timestamps.append(7)
    assert timestamps[-1] == 7


def test_a_read_that_fills_the_room_is_read_on(each_path, pair) -> None:
    """What did not fit into one read is reported again."""
    ours, theirs = pair
    theirs.setblocking(False)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    sent = theirs.send(b"x" * 150_000)
    assert sent > READ_BYTES
    owner = _Owner()
    with contextlib.closing(EventLoop()) as loop:
        reader = make_reader(ours, owner, Receiver(loop))
        loop.watch(ours.fileno(), reader)
        while sum(map(len, owner.left)) < sent:
            loop.poller.poll(0)
            reader.resume()
    assert b"".join(owner.left) == b"x" * sent
    assert max(map(len, owner.left)) == READ_BYTES


def test_what_an_owner_raises_ends_the_loop(each_path, pair) -> None:
    """Nothing is swallowed on the way through C."""
    ours, theirs = pair
    theirs.send(b"x")
    owner = _Owner(KeyError("mine"))
    with contextlib.closing(EventLoop()) as loop:
        loop.watch(ours.fileno(), make_reader(ours, owner, Receiver(loop)))
        with pytest.raises(KeyError, match="mine"):
            loop.run_until(lambda: False)


def test_a_signal_ends_a_wait(each_path) -> None:
    """Its handler runs while nothing is ready, and what it raises is raised."""

    def handler(number: int, frame: Any) -> None:
        raise TimeoutError("rang")

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with contextlib.closing(EventLoop()) as loop:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(TimeoutError, match="rang"):
                loop.run_until(lambda: False)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_what_cannot_be_watched_is_refused(each_path, pair) -> None:
    """Without room being made for its number; what nobody watches can be forgotten."""
    ours, theirs = pair
    heard: list[int] = []
    with contextlib.closing(native.poller()) as polled:
        polled.watch(ours.fileno(), heard.append)
        for fd in (-1, 1_000_000, 2**31 - 1):
            with pytest.raises((OSError, ValueError)):
                polled.watch(fd, print)
            polled.unwatch(fd)
        polled.unwatch(ours.fileno() + 2**32)
        assert polled.poll(0) == 0
        theirs.send(b"x")
        assert (polled.poll(3600.0), heard) == (1, [READ])


def test_an_owner_may_close_while_it_writes(each_path, pair) -> None:
    """What its descriptor's number belongs to by then is not read for it."""
    ours, _ = pair
    with contextlib.closing(EventLoop()) as loop:

        class Closing(_Owner):
            def resume_writing(self) -> None:
                loop.unwatch(fd)
                ours.close()
                os.dup2(other.fileno(), fd)

        fd, owner = ours.fileno(), Closing()
        other, their_other = socket.socketpair()
        with other, their_other:
            their_other.send(b"of another")
            loop.watch(fd, make_reader(ours, owner, Receiver(loop)), READ | WRITE)
            loop.poller.poll(0)
            assert os.read(fd, 100) == b"of another"
        os.close(fd)
    assert owner.left == []


@compiled
def test_what_does_not_fit_is_refused(pair) -> None:
    """Readers of a poll in Python, numbers beyond the room, what is no stencil."""
    ours, _ = pair
    with contextlib.closing(EventLoop(Poller())) as loop:
        receiver = Receiver(loop)
        assert isinstance(make_reader(ours, _Owner(), receiver), TokenReader)
        with pytest.raises(TypeError, match="compiled poll"):
            native.token_reader(ours.fileno(), _Owner(), receiver)
    with pytest.raises(ValueError, match="1 to 256"):
        native.module.Poller(max_events=257)
    with contextlib.closing(EventLoop()) as loop:
        reader = make_reader(ours, _Owner(), Receiver(loop))
        with pytest.raises(AttributeError):
            reader.resume(0, native.timestamps())  # type: ignore[arg-type]
        for timestamps in ([], None):
            with pytest.raises(TypeError):
                reader.resume(_template(), timestamps)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="requires timestamps"):
            reader.resume(_template())


def test_nothing_is_kept(each_path, pair) -> None:
    """Readers, polls and owners that nobody has any more are gone, in cycles, too."""
    ours, theirs = pair
    kept: list[weakref.ref[Any]] = []
    for _ in range(100):
        owner: Any = _Owner()
        loop = EventLoop()
        receiver = Receiver(loop)
        owner.reader = make_reader(ours, owner, receiver)
        loop.watch(ours.fileno(), owner.reader)
        owner.reader.resume(ChunkTemplate(BEFORE, AFTER), native.timestamps())
        theirs.send(b"x")
        loop.run_until(lambda owner=owner: bool(owner.left))  # type: ignore[misc]
        kept += [weakref.ref(it) for it in (owner, receiver, loop)]
        if len(kept) % 2:
            loop.close()
    before = _open_files()
    del owner, loop, receiver
    gc.collect()
    assert [it() for it in kept] == [None] * len(kept)
    assert _open_files() < before or sys.platform != "linux"


def _open_files() -> int:
    own = Path("/proc/self/fd")
    return len(list(own.iterdir())) if own.exists() else 0
