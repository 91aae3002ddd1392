"""Recognising a token without parsing it.

Nearly every read of a token stream is one HTTP chunk with one server-sent event, which differs from
the event before in the generated text only. A stencil is what stays: once an event has been decoded
and was a plain token, the bytes around its text are kept, and a read that has the same bytes around
a text of its own is a token too. That is exact, not a guess: the chunk's size must be that of the
read, and a JSON string without quote, backslash and control character ends where it should (RFC
8259, section 7; whether its other bytes are UTF-8 is not looked at). Whatever does not fit
(escapes, usage, the last chunk) is parsed as ever.
"""

from __future__ import annotations

import re

from tokenbench.api import StreamEvent

# A chunk's size has so many digits: one holds no event, five are no plain token.
DIGITS = (2, 3, 4)
# The first byte that a plain text cannot have, looked for between two places.
find_strange = re.compile(rb'["\\\x00-\x1f]').search
_size_of = re.compile(rb"([1-9a-f][0-9a-f]{1,3})\r\n").match


class Stencil:
    """What the reads of one stream have in common.

    A read is a token where it begins with the `heads` of its length (the chunk's size, then
    `lead`), ends with `tail`, and there is text between that :func:`find_strange` finds nothing in.
    `heads` is filled as lengths come up.
    """

    __slots__ = ("_after", "_before", "_size", "heads", "lead", "tail")

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before, self._after = before, after
        self.lead = b"\r\ndata: " + before
        self.tail = after + b"\n\n\r\n"
        self._size = len(before) + len(after) + len(b"data: \n\n")
        self.heads: dict[int, bytes] = {}

    def made_of(self, data: bytes) -> bool:
        """Whether an event has the same bytes around its text."""
        return data.startswith(self._before) and data.endswith(self._after)

    def count(self, data: bytes) -> int:
        """Of how many tokens a read consists; 0 where it is anything else besides."""
        at = count = 0
        while at < len(data):
            size = _size_of(data, at)
            if size is None:
                return 0
            end = size.end() + int(size[1], 16) + 2
            head = self._head(end - at)
            text_end = end - len(self.tail)
            if (
                head is None
                or not data.startswith(head, at)
                or data[text_end:end] != self.tail
                or find_strange(data, at + len(head), text_end)
            ):
                return 0
            at = end
            count += 1
        return count

    def _head(self, length: int) -> bytes | None:
        """How a token of that length must begin; None where it is too short to hold a text."""
        known = self.heads.get(length)
        if known is not None:
            return known
        for digits in DIGITS:
            # The digits of the chunk's size, the line ends around it and after it.
            size = length - digits - 4
            if size > self._size and len(b"%x" % size) == digits:
                head = self.heads[length] = b"%x" % size + self.lead
                return head
        return None


def stencil_of(data: bytes, event: StreamEvent, marks: tuple[bytes, ...]) -> Stencil | None:
    """The stencil of an event; None for any but a plain token (text, nothing else).

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
            return Stencil(data[:start], data[end:])
    return None
