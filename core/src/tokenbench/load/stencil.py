"""Recognising a token without decoding it.

Nearly every read of a token stream is one HTTP chunk with one server-sent event, which differs from
the event before in the generated text only. A stencil is what stays: once an event has been decoded
and was a plain token, the bytes around its text are kept, and a read that has the same bytes around
a text of its own is a token too. That is exact, not a guess: the chunk's size must say where the
read ends, and a JSON string without quotes and backslashes cannot end anywhere else. Whatever does
not fit (several events, escapes, usage, the last chunk) is decoded as ever.
"""

from __future__ import annotations

from tokenbench.api import StreamEvent


def stencil_of(
    data: bytes, event: StreamEvent, marks: tuple[bytes, ...]
) -> tuple[bytes, bytes] | None:
    """What stands before and after the text of an event in a raw read; None for any event but a
    plain token (text, and nothing else that is counted).

    Args:
        data: the event's bytes.
        event: what the codec said of it.
        marks: see :class:`tokenbench.api.Codec`.
    """
    if not event.token or not event.text or event.done:
        return None
    if (event.n_tokens, event.n_in, event.n_out, event.finish, event.error) != (None,) * 5:
        return None
    for mark in marks:
        start = data.find(mark)
        if start < 0:
            continue
        start += len(mark)
        end = data.find(b'"', start)
        if end > start and data.find(b"\\", start, end) < 0:
            return b"\r\ndata: " + data[:start], data[end:] + b"\n\n\r\n"
    return None


def body_bytes(read: bytes, lead: bytes, tail: bytes) -> int:
    """The length of the body in a read that is one chunk with one token by the stencil; else 0."""
    at = read.find(b"\r", 1, 9)
    if at < 0 or not read.startswith(lead, at) or not read.endswith(tail):
        return 0
    start, end = at + len(lead), len(read) - len(tail)
    if end <= start or read.find(b'"', start, end) >= 0 or read.find(b"\\", start, end) >= 0:
        return 0
    size = len(read) - at - 4
    try:
        return size if int(read[:at], 16) == size else 0
    except ValueError:
        return 0
