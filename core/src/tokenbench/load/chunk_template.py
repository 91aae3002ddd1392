"""Recognises a token without parsing it.

Nearly every read of a token stream is one HTTP chunk with one server-sent event that differs from
the previous event only in the generated text. A template holds the bytes around that text, taken
from an event that was decoded. A read with the same bytes around another text is a token too. This
cannot be wrong: the chunk size must match, and text without quote, backslash or control character
cannot end the JSON string (RFC 8259, section 7; that it is valid UTF-8 is not checked). All other
reads (escapes, usage, the last chunk) are parsed as usual.
"""

from __future__ import annotations

import re

from tokenbench.api import StreamEvent

# Hex digits of a chunk size. One digit is too small for an event, five are too large for a token.
MAX_DIGITS = 4
_chunk_size = re.compile(rb"([1-9a-f][0-9a-f]{1,%d})\r\n" % (MAX_DIGITS - 1)).match
# Bytes that end a JSON string, or must be escaped in it.
_find_special = re.compile(rb'["\\\x00-\x1f]').search


class ChunkTemplate:
    """What the token chunks of one response have in common.

    A token is a chunk size, `prefix`, text without special bytes, and `suffix`.
    """

    __slots__ = ("_after", "_before", "prefix", "suffix")

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before, self._after = before, after
        self.prefix = b"\r\ndata: " + before
        self.suffix = after + b"\n\n\r\n"

    def matches(self, event: bytes) -> bool:
        """Whether an event has the same bytes around its text."""
        return event.startswith(self._before) and event.endswith(self._after)

    def count_tokens(self, data: bytes) -> int:
        """The number of tokens in a read; 0 if it holds anything else."""
        start = count = 0
        while start < len(data):
            size = _chunk_size(data, start)
            if size is None:
                return 0
            end = size.end() + int(size[1], 16) + len(b"\r\n")
            text = size.end(1) + len(self.prefix)
            text_end = end - len(self.suffix)
            if (
                text >= text_end
                or not data.startswith(self.prefix, size.end(1))
                or data[text_end:end] != self.suffix
                or _find_special(data, text, text_end)
            ):
                return 0
            start = end
            count += 1
        return count


def make_template(
    data: bytes, event: StreamEvent, marks: tuple[bytes, ...]
) -> ChunkTemplate | None:
    """Make a template from an event; None unless the event has text of the answer and nothing else.

    Args:
        data: the event's bytes.
        event: the same event, decoded.
        marks: see `text_marks` of :class:`tokenbench.api.Codec`.
    """
    if not event.token or not event.text or event.reasoning or event.done or b"\\" in data:
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
