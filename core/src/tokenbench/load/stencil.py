"""Recognising a token without parsing it.

Nearly every read of a token stream is one HTTP chunk with one server-sent event, which differs from
the event before in the generated text only. A stencil is what stays: once an event has been decoded
and was a plain token, the bytes around its text are kept, and a read that has the same bytes around
a text of its own is a token too. That is exact, not a guess: the chunk's size must be that of the
read, and a JSON string in which no quote and no backslash is added cannot end anywhere else.
Whatever does not fit (several events, escapes, usage, the last chunk) is parsed as ever.
"""

from __future__ import annotations

from tokenbench.api import StreamEvent

# A chunk's size has so many digits: one holds no event, five are no plain token.
DIGITS = (2, 3, 4)


class Stencil:
    """What the reads of one stream have in common.

    A read is a token where it begins with the `heads` of its length (the chunk's size, then
    `lead`), ends with `tail`, and holds `quotes` quotes and no backslash. `heads` is filled as
    lengths come up.
    """

    __slots__ = ("_after", "_before", "_size", "heads", "lead", "quotes", "tail")

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before, self._after = before, after
        self.lead = b"\r\ndata: " + before
        self.tail = after + b"\n\n\r\n"
        self.quotes = before.count(b'"') + after.count(b'"')
        self._size = len(before) + len(after) + len(b"data: \n\n")
        self.heads: dict[int, bytes] = {}

    def made_of(self, data: bytes) -> bool:
        """Whether an event has the same bytes around its text."""
        return data.startswith(self._before) and data.endswith(self._after)

    def count(self, data: bytes) -> int:
        """Of how many tokens a read consists; 0 where it is anything else besides."""
        *parts, rest = data.split(self.tail)
        if rest or not parts or b"\\" in data or data.count(b'"') != self.quotes * len(parts):
            return 0
        for part in parts:
            head = self._head(len(part) + len(self.tail))
            if head is None or not part.startswith(head):
                return 0
        return len(parts)

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
