"""The reader of server-sent events, against every way a stream can be cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenbench.load.framing import MAX_EVENT_BYTES, BodyFraming, LineFraming, SseFraming

_DATA = st.binary(max_size=20).filter(lambda b: not set(b) & {10, 13})


def _read(stream: bytes, cuts: list[int]) -> list[bytes]:
    reader = SseFraming()
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    events = []
    for start, end in itertools.pairwise(edges):
        events += reader.feed(stream[start:end])
    return events + reader.finish()


@given(
    events=st.lists(st.lists(_DATA, min_size=1, max_size=3), max_size=8),
    newline=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    cuts=st.lists(st.integers(0, 10_000), max_size=12),
    comment=st.booleans(),
    bom=st.booleans(),
)
def test_any_split_gives_the_same_events(events, newline, cuts, comment, bom):  # noqa: ANN201
    """Lines of any ending, comments, several data lines, a byte order mark, cut anywhere."""
    stream = b"\xef\xbb\xbf" if bom else b""
    for lines in events:
        if comment:
            stream += b": note" + newline + b"id: 7" + newline
        stream += b"".join(b"data: " + line + newline for line in lines) + newline
    assert _read(stream, cuts) == [b"\n".join(lines) for lines in events]


@given(garbage=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=5))
def test_garbage_gives_the_same_however_it_is_cut(garbage: bytes, cuts: list[int]) -> None:
    """No bytes crash it, and where they are cut does not matter."""
    assert _read(garbage, cuts) == _read(garbage, [])


def test_a_cut_inside_a_character_is_no_special_case() -> None:
    """UTF-8 is never decoded here, so half a character waits for its other half."""
    text = "data: é😀\n\n".encode()
    for cut in range(len(text)):
        assert _read(text, [cut]) == ["é😀".encode()]


def test_space_after_the_colon_is_optional_and_taken_once() -> None:
    """`data:x` and `data: x` are the same, `data:  x` keeps one space; a bare `data` is empty."""
    assert _read(b"data:x\n\ndata: x\n\ndata:  x\n\ndata\n\n", []) == [b"x", b"x", b" x", b""]


def test_the_last_event_may_lack_its_blank_line() -> None:
    """Servers that close without it exist; a token must not be lost for that."""
    assert _read(b"data: 1\n\ndata: 2", []) == [b"1", b"2"]


def test_gigantic_events_are_refused() -> None:
    """Memory is bounded: one line, or many lines of one event."""
    block = b"data: " + b"x" * (1 << 20) + b"\n"
    reader = SseFraming()
    for _ in range(MAX_EVENT_BYTES // (1 << 20)):
        reader.feed(block)
    with pytest.raises(ValueError, match="larger than"):
        reader.feed(block)
    with pytest.raises(ValueError, match="larger than"):
        SseFraming().feed(b"data: " + b"x" * (MAX_EVENT_BYTES + 1))


def test_lines_and_bodies() -> None:
    """The other two framings."""
    lines = LineFraming()
    assert lines.feed(b'{"a":1}\n{"b"') == [b'{"a":1}']
    assert lines.feed(b":2}") == []
    assert lines.finish() == [b'{"b":2}']
    body = BodyFraming()
    assert body.feed(b"ab") == []
    assert body.feed(b"c") == []
    assert body.finish() == [b"abc"]
