"""Framing: events do not depend on how the bytes were cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenbench.load.framing import MAX_EVENT_BYTES, BodyFraming, LineFraming, SseFraming

_DATA = st.binary(max_size=20).filter(lambda b: not set(b) & {10, 13})


def _read(stream: bytes, cuts: list[int]) -> list[bytes]:
    framing = SseFraming()
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    events = []
    for start, end in itertools.pairwise(edges):
        events += framing.feed(stream[start:end])
    return events + framing.finish()


@given(
    events=st.lists(st.lists(_DATA, min_size=1, max_size=3), max_size=8),
    newline=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    cuts=st.lists(st.integers(0, 10_000), max_size=12),
    comment=st.booleans(),
    bom=st.booleans(),
)
def test_any_cut_gives_the_same_events(events, newline, cuts, comment, bom):  # noqa: ANN201
    """Any line ends, comments, several data lines, a byte order mark, cut anywhere."""
    stream = b"\xef\xbb\xbf" if bom else b""
    for lines in events:
        if comment:
            stream += b": note" + newline + b"id: 7" + newline
        stream += b"".join(b"data: " + line + newline for line in lines) + newline
    assert _read(stream, cuts) == [b"\n".join(lines) for lines in events]


@given(garbage=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=5))
def test_garbage_does_not_depend_on_cuts(garbage: bytes, cuts: list[int]) -> None:
    """Arbitrary bytes raise nothing and give the same events, wherever they are cut."""
    assert _read(garbage, cuts) == _read(garbage, [])


def test_a_cut_inside_a_character() -> None:
    """Text is not decoded, so UTF-8 may be cut anywhere."""
    text = "data: é😀\n\n".encode()
    for cut in range(len(text)):
        assert _read(text, [cut]) == ["é😀".encode()]


def test_one_space_after_the_colon_is_removed() -> None:
    """`data:x` and `data: x` are the same, `data:  x` keeps one space; `data` alone is empty."""
    assert _read(b"data:x\n\ndata: x\n\ndata:  x\n\ndata\n\n", []) == [b"x", b"x", b" x", b""]


def test_a_missing_final_blank_line_is_tolerated() -> None:
    """Some servers omit it; their last token must not be lost."""
    assert _read(b"data: 1\n\ndata: 2", []) == [b"1", b"2"]


def test_too_large_events_are_refused() -> None:
    """Memory is bounded: for one long line, and for many lines of one event."""
    block = b"data: " + b"x" * (1 << 20) + b"\n"
    framing = SseFraming()
    for _ in range(MAX_EVENT_BYTES // (1 << 20)):
        framing.feed(block)
    with pytest.raises(ValueError, match="larger than"):
        framing.feed(block)
    with pytest.raises(ValueError, match="larger than"):
        SseFraming().feed(b"data: " + b"x" * (MAX_EVENT_BYTES + 1))


def test_lines_and_bodies() -> None:
    """The framings `lines` and `body`."""
    lines = LineFraming()
    assert lines.feed(b'{"a":1}\n{"b"') == [b'{"a":1}']
    assert lines.feed(b":2}") == []
    assert lines.finish() == [b'{"b":2}']
    body = BodyFraming()
    assert body.feed(b"ab") == []
    assert body.feed(b"c") == []
    assert body.finish() == [b"abc"]
