"""A reader of server-sent events: bytes in, the data of complete events out.

Follows the WHATWG event stream format (html.spec.whatwg.org, section 9.2.6, read 2026-11): lines
end with LF, CR or CRLF, a blank line ends an event, `data` lines of one event are joined by LF,
comments and other fields are skipped, a byte order mark at the start is dropped. It never decodes
text, so a chunk cut inside a character is no special case.
"""

from __future__ import annotations

MAX_EVENT_BYTES = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class SseReader:
    """Cuts one response body into events. One reader a response.

    `clean`: it stands between two events, with nothing of the next one seen.
    """

    __slots__ = ("_after_cr", "_buffer", "_data", "_size", "_started", "clean")

    def __init__(self) -> None:
        self._buffer = b""
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._started = False
        self.clean = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Events completed by `chunk`, in order.

        Raises:
            ValueError: an event is larger than :data:`MAX_EVENT_BYTES`.
        """
        # What nearly every chunk of a token stream looks like: whole events, one data line each.
        if (
            self.clean
            and chunk.startswith(b"data: ")
            and chunk.endswith(b"\n\n")
            and b"\r" not in chunk
        ):
            events = chunk[6:-2].split(b"\n\ndata: ")
            # No line end but those between the events and the last two.
            if chunk.count(b"\n") == 2 * len(events):
                self._started = True
                return events
        return self._slow(chunk)

    def finish(self) -> list[bytes]:
        """The event that the end of the body completes, if its last line had no blank line after.

        The standard drops such an event; servers that close without the blank line exist, and a
        measured token must not be lost for it.
        """
        events: list[bytes] = []
        if self._buffer:
            line, self._buffer = self._buffer, b""
            self._line(line, events)
        self._line(b"", events)
        return events

    def _slow(self, chunk: bytes) -> list[bytes]:
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk[:1] == b"\n":
                chunk = chunk[1:]
        buffer = self._buffer + chunk
        if not self._started:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                self._buffer = buffer
                self.clean = not buffer
                return []
            buffer = buffer.removeprefix(_BOM)
            self._started = True
        if buffer[-1:] == b"\r":
            self._after_cr = True
        events: list[bytes] = []
        if b"\r" in buffer:
            buffer = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._buffer = buffer.split(b"\n")
        for line in lines:
            self._line(line, events)
        if self._size + len(self._buffer) > MAX_EVENT_BYTES:
            raise ValueError(f"an event is larger than {MAX_EVENT_BYTES} bytes")
        self.clean = not (self._buffer or self._data or self._after_cr)
        return events

    def _line(self, line: bytes, events: list[bytes]) -> None:
        if not line:
            if self._data:
                events.append(b"\n".join(self._data))
                self._data = []
                self._size = 0
            return
        if line[:5] != b"data:":
            if line == b"data":
                self._data.append(b"")
            return
        value = line[6:] if line[5:6] == b" " else line[5:]
        self._data.append(value)
        self._size += len(value)
        if self._size > MAX_EVENT_BYTES:
            raise ValueError(f"an event is larger than {MAX_EVENT_BYTES} bytes")


class LineReader:
    """Cuts a body into lines (newline-delimited JSON)."""

    __slots__ = ("_buffer",)
    clean = False

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Lines completed by `chunk`, blank ones left out."""
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        if len(self._buffer) > MAX_EVENT_BYTES:
            raise ValueError(f"a line is larger than {MAX_EVENT_BYTES} bytes")
        return [line for line in lines if line.strip()]

    def finish(self) -> list[bytes]:
        """The last line, if it had no newline."""
        rest, self._buffer = self._buffer, b""
        return [rest] if rest.strip() else []


class BodyReader:
    """Takes the whole body as one event."""

    __slots__ = ("_parts", "_size")
    clean = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Nothing before the end."""
        self._size += len(chunk)
        if self._size > MAX_EVENT_BYTES:
            raise ValueError(f"the body is larger than {MAX_EVENT_BYTES} bytes")
        self._parts.append(chunk)
        return []

    def finish(self) -> list[bytes]:
        """The body."""
        body = b"".join(self._parts)
        return [body] if body else []


Reader = SseReader | LineReader | BodyReader
READERS: dict[str, type[SseReader | LineReader | BodyReader]] = {
    "sse": SseReader,
    "lines": LineReader,
    "body": BodyReader,
}
