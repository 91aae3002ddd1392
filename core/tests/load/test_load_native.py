"""The C extension: it is built, and gives the same results as the Python versions."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import re
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
CAN_BUILD = sys.platform == "linux" and HEADERS and any(map(shutil.which, ("cc", "gcc", "clang")))
compiled = pytest.mark.skipif(native.module is None, reason="the C extension is not built")


class _Owner:
    """Keeps the reads that its reader passes on."""

    def __init__(self, error: Exception | None = None) -> None:
        self.received: list[bytes] = []
        self.error = error

    def data_received(self, data: bytes, arrived_ns: int, delay_ns: int) -> None:
        """A read that is not plain tokens."""
        self.received.append(data)
        if self.error is not None:
            raise self.error

    def connection_lost(self, error: str, now_ns: int) -> None:
        """Not used here."""

    def resume_writing(self) -> None:
        """Not used here."""


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


@pytest.mark.skipif(not CAN_BUILD, reason="no compiler")
@pytest.mark.skipif("TOKENBENCH_PURE" in os.environ, reason="switched off")
def test_extension_is_built_if_possible() -> None:
    """Installing core builds it where Linux, a compiler and the headers are present."""
    assert native.module is not None, "not built: install core again"


def test_environment_switches_extension_off() -> None:
    """``TOKENBENCH_PURE=1`` selects the Python versions."""
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


# -- tokens --------------------------------------------------------------------------------------

BEFORE, AFTER = b'{"a":"b","text":"', b'","c":null}'


def _chunk(text: bytes, after: bytes = AFTER) -> bytes:
    event = b"data: " + BEFORE + text + after + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(event), event)


def _template(after: bytes = AFTER) -> ChunkTemplate:
    event = StreamEvent(token=True, text="x")
    template = make_template(BEFORE + b"x" + after, event, (b'"text":"',))
    assert template is not None
    return template


@st.composite
def _damaged_tokens(draw: st.DrawFn) -> tuple[ChunkTemplate, bytes]:
    """A template, and chunks of any text that were changed at one place."""
    after = draw(st.sampled_from([AFTER, b'"}']))
    texts = draw(st.lists(st.binary(max_size=200), min_size=1, max_size=4))
    data = b"".join(_chunk(text, after) for text in texts)
    place = draw(st.integers(0, len(data)))
    inserted = draw(
        st.sampled_from(
            [b"", b'"', b"\\", b"0", b"a", b"A", b"\r\n", b"\n\n\r\n", b"0x", b" ", b"-"]
        )
    )
    data = data[:place] + inserted + data[place + draw(st.integers(0, 3)) :]
    if draw(st.booleans()):
        size, line_end, rest = data.partition(b"\r\n")
        data = size.upper() + line_end + rest
    return _template(after), data


@compiled
@settings(max_examples=300)
@given(_damaged_tokens())
def test_both_versions_count_the_same_tokens(case: tuple[ChunkTemplate, bytes]) -> None:
    """A read consists of as many tokens as the template counts, or goes to the owner unchanged."""
    template, data = case
    count = template.count_tokens(data)
    for poller in (native.module.Poller(), Poller()):
        tokens, received = _read_once(poller, data, template)
        assert tokens == count
        assert received == ([] if count or not data else [data])


class _Resuming(_Owner):
    """Notes what it gets and how many tokens came before; resumes when told to."""

    def __init__(self, template: ChunkTemplate) -> None:
        super().__init__()
        self.template, self.timestamps = template, native.timestamps()
        self.trace: list[tuple[int, bytes | str]] = []

    def data_received(self, data: bytes, arrived_ns: int, delay_ns: int) -> None:
        """A read that is not plain tokens."""
        assert delay_ns >= 0
        self.trace.append((len(self.timestamps), data))

    def connection_lost(self, error: str, now_ns: int) -> None:
        """The end of the connection."""
        self.trace.append((len(self.timestamps), error or "end"))


@compiled
@settings(max_examples=100)
@given(case=_damaged_tokens(), data=st.data())
def test_both_versions_give_the_same_results(
    case: tuple[ChunkTemplate, bytes], data: st.DataObject
) -> None:
    """Any cut of the bytes, any delay of the owner: same tokens, same reads left, same order."""
    template, stream = case
    places = st.sampled_from(sorted({0, len(stream) // 2, len(stream), *_chunk_ends(stream)}))
    cuts = data.draw(st.lists(places | st.integers(0, len(stream)), max_size=6), label="cuts")
    reads = [stream[a:b] for a, b in itertools.pairwise(sorted({0, *cuts, len(stream)}))]
    resume_after = data.draw(st.lists(st.booleans(), min_size=len(reads), max_size=len(reads)))
    results = []
    for poller in (native.module.Poller(), Poller()):
        owner = _Resuming(template)
        pending = _read_all(poller, owner, reads, resume_after)
        timestamps = list(owner.timestamps)
        assert timestamps == sorted(timestamps)
        results.append((owner.trace, len(timestamps), pending))
    assert results[0] == results[1]
    assert results[0][0][-1][1] == "end"


def _chunk_ends(stream: bytes) -> list[int]:
    return [found.end() for found in re.finditer(rb"\n\n\r\n", stream)]


def _read_all(
    poller: Poller, owner: _Resuming, reads: list[bytes], resume_after: list[bool]
) -> tuple[int, list[int]]:
    """Feed the reads to a reader; returns its token bytes, and the pending reads after each."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    pending = []
    with contextlib.closing(EventLoop(poller)) as loop, ours:
        reader = make_reader(ours, owner, Receiver(loop))
        loop.watch(ours.fileno(), reader)
        reader.resume(owner.template, owner.timestamps)
        with theirs:
            for read, resume in zip(reads, resume_after, strict=True):
                theirs.sendall(read)
                loop.poller.poll(0)
                pending.append(reader.pending)
                if resume:
                    reader.resume(owner.template, owner.timestamps)
        loop.poller.poll(0)
        while reader.pending:
            reader.resume(owner.template, owner.timestamps)
        return reader.token_bytes, pending


@pytest.mark.parametrize(
    "text", [b"a\n\ndata: b", b"\n", b"\r", b"\0", b"\x1f", b'"', b"\\n", b"", b'","text":"']
)
def test_special_bytes_make_no_token(each_path, text: bytes) -> None:
    """A JSON parser would refuse such a text, or decode something else."""
    data = _chunk(text)
    template = _template()
    assert (template.count_tokens(data), template.count_tokens(_chunk(b"x") + data)) == (0, 0)
    assert template.count_tokens(_chunk("x\x7fé".encode()) * 2) == 2
    assert _read_once(native.poller(), data, template) == (0, [data])


def _read_once(poller: Poller, data: bytes, template: ChunkTemplate) -> tuple[int, list[bytes]]:
    """Read `data` at once; returns the number of tokens, and the reads passed to the owner."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    owner, timestamps = _Owner(), native.timestamps()
    with contextlib.closing(EventLoop(poller)) as loop, ours, theirs:
        reader = make_reader(ours, owner, Receiver(loop))
        reader.resume(template, timestamps)
        theirs.sendall(data)
        reader(READ)
        assert reader.token_bytes == (len(data) if timestamps else 0)
    return len(timestamps), owner.received


# -- timestamps ----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 16, 17, 1000])
def test_timestamps_are_a_sequence_and_a_buffer(each_path, count: int) -> None:
    """Any number of values, negative ones included, indexed from either end."""
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


def test_timestamps_do_not_move_while_exported(each_path) -> None:
    """An append that would reallocate an exported buffer is refused."""
    timestamps = native.timestamps()
    with memoryview(timestamps), pytest.raises(BufferError):
        timestamps.append(7)
    timestamps.append(7)
    assert timestamps[-1] == 7


# -- reading and polling -------------------------------------------------------------------------


def test_data_beyond_one_read_is_read_next(each_path, pair) -> None:
    """Data that does not fit into one read is reported by the next poll."""
    ours, theirs = pair
    theirs.setblocking(False)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    sent = theirs.send(b"x" * 150_000)
    assert sent > READ_BYTES
    owner = _Owner()
    with contextlib.closing(EventLoop()) as loop:
        reader = make_reader(ours, owner, Receiver(loop))
        loop.watch(ours.fileno(), reader)
        while sum(map(len, owner.received)) < sent:
            loop.poller.poll(0)
            reader.resume()
    assert b"".join(owner.received) == b"x" * sent
    assert max(map(len, owner.received)) == READ_BYTES


def test_an_exception_of_the_owner_ends_the_loop(each_path, pair) -> None:
    """C code passes exceptions on."""
    ours, theirs = pair
    theirs.send(b"x")
    owner = _Owner(KeyError("mine"))
    with contextlib.closing(EventLoop()) as loop:
        loop.watch(ours.fileno(), make_reader(ours, owner, Receiver(loop)))
        with pytest.raises(KeyError, match="mine"):
            loop.run_until(lambda: False)


def test_a_signal_interrupts_a_poll(each_path) -> None:
    """The signal handler runs while no descriptor is ready, and its exception is raised."""

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


def test_invalid_descriptors_are_refused(each_path, pair) -> None:
    """No memory is reserved for their numbers, and unwatching them has no effect."""
    ours, theirs = pair
    masks: list[int] = []
    with contextlib.closing(native.poller()) as poller:
        poller.watch(ours.fileno(), masks.append)
        for fd in (-1, 1_000_000, 2**31 - 1):
            with pytest.raises((OSError, ValueError)):
                poller.watch(fd, print)
            poller.unwatch(fd)
        poller.unwatch(ours.fileno() + 2**32)
        assert poller.poll(0) == 0
        theirs.send(b"x")
        assert (poller.poll(3600.0), masks) == (1, [READ])


def test_an_owner_may_close_in_resume_writing(each_path, pair) -> None:
    """The reader does not read another socket that got the same descriptor number."""
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
    assert owner.received == []


@compiled
def test_invalid_arguments_are_refused(pair) -> None:
    """A Python poller for a compiled reader, too many events, objects that are not templates."""
    ours, _ = pair
    with contextlib.closing(EventLoop(Poller())) as loop:
        receiver = Receiver(loop)
        assert isinstance(make_reader(ours, _Owner(), receiver), TokenReader)
        with pytest.raises(TypeError, match="compiled poller"):
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


def test_nothing_leaks(each_path, pair) -> None:
    """Unreferenced readers, pollers and owners are freed, even in reference cycles."""
    ours, theirs = pair
    references: list[weakref.ref[Any]] = []
    for _ in range(100):
        owner: Any = _Owner()
        loop = EventLoop()
        receiver = Receiver(loop)
        owner.reader = make_reader(ours, owner, receiver)
        loop.watch(ours.fileno(), owner.reader)
        owner.reader.resume(ChunkTemplate(BEFORE, AFTER), native.timestamps())
        theirs.send(b"x")
        loop.run_until(lambda owner=owner: bool(owner.received))  # type: ignore[misc]
        references += [weakref.ref(it) for it in (owner, receiver, loop)]
        if len(references) % 2:
            loop.close()
    before = _open_files()
    del owner, loop, receiver
    gc.collect()
    assert [reference() for reference in references] == [None] * len(references)
    assert _open_files() < before or sys.platform != "linux"


def _open_files() -> int:
    own = Path("/proc/self/fd")
    return len(list(own.iterdir())) if own.exists() else 0
