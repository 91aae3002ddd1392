"""Recognises a token without parsing it.

Nearly every read of a token stream is one HTTP chunk with one server-sent event that differs from
the previous event in the generated text only. A template holds the bytes around that text, taken
from an event that was decoded. A read with the same bytes around a text of its own is a token too.
That is exact: the chunk's size must match, and a JSON string without quote, backslash or control
character ends where it should (RFC 8259, section 7; whether its bytes are UTF-8 is not checked).
Whatever does not fit (escapes, usage, the last chunk) is parsed as usual.
"""

from __future__ import annotations

import re

from tokenbench.api import StreamEvent

# Hex digits of a chunk size: fewer cannot hold an event, more are not a plain token.
MAX_DIGITS = 4
_chunk_size = re.compile(rb"([1-9a-f][0-9a-f]{1,%d})\r\n" % (MAX_DIGITS - 1)).match
# A byte that cannot stand unescaped in a JSON string, or that ends it.
_find_special = re.compile(rb'["\\\x00-\x1f]').search


class ChunkTemplate:
    """What the chunks of one stream have in common.

    A token is a chunk size, then `lead`, text without special bytes, and `tail`.
    """

    __slots__ = ("_after", "_before", "lead", "tail")

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before, self._after = before, after
        self.lead = b"\r\ndata: " + before
        self.tail = after + b"\n\n\r\n"

    def made_of(self, data: bytes) -> bool:
        """Whether an event has the same bytes around its text."""
        return data.startswith(self._before) and data.endswith(self._after)

    def count(self, data: bytes) -> int:
        """How many tokens a read consists of; 0 if it holds anything else."""
        at = count = 0
        while at < len(data):
            size = _chunk_size(data, at)
            if size is None:
                return 0
            lead = size.end() - len(b"\r\n")
            end = size.end() + int(size[1], 16) + len(b"\r\n")
            text, tail = lead + len(self.lead), end - len(self.tail)
            if (
                text >= tail
                or not data.startswith(self.lead, lead)
                or data[tail:end] != self.tail
                or _find_special(data, text, tail)
            ):
                return 0
            at = end
            count += 1
        return count


def template_of(data: bytes, event: StreamEvent, marks: tuple[bytes, ...]) -> ChunkTemplate | None:
    """The template of an event; None unless it is a plain token (text and nothing else).

    Args:
        data: the event's bytes.
        event: what the codec said of it.
        marks: see :class:`tokenbench.api.Codec`.
    """
    if not event.token or not event.text or event.done or b"\\" in data:
        return None
    if (event.n_tokens, event.n_in, event.n_out, event.finish, event.error) != (None,) * 5:
        return None
    for mark in marks:
        start = data.find(mark)
        if start < 0:
            continue
        start += len(mark)
        end = data.find(b'"', start)
        if end > start:
            return ChunkTemplate(data[:start], data[end:])
    return None
