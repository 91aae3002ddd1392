"""Framing: cuts the bytes of a response body into events.

Server-sent events follow the WHATWG event stream format (html.spec.whatwg.org, section 9.2.6, read
2026-11): lines end with LF, CR or CRLF, a blank line ends an event, `data` lines of one event are
joined by LF, comments and other fields are skipped, a byte order mark at the start is dropped. Text
is never decoded, so a chunk may end inside a character.

Beyond the standard, errors are never skipped. These are errors too: an event named ``error``
without data (its text is its last comment), a line ``error: ...`` as older llama.cpp servers send
it, and a bare line of JSON with an error.
"""

from __future__ import annotations

MAX_EVENT_BYTES = 16 * 1024 * 1024
ERROR = "error"
_LF, _CR = b"\n\r"
_BOM = b"\xef\xbb\xbf"


class NamedEvent(bytes):
    """The data of a server-sent event whose name (`event` field) is not the default ``message``."""

    name: str
    """In lower case."""


def named_event(name: str, data: bytes) -> NamedEvent:
    """An event with a name."""
    event = NamedEvent(data)
    event.name = name
    return event


class SseFraming:
    """Server-sent events of one response.

    `between_events`: all bytes so far belong to complete events.
    """

    __slots__ = (
        "_after_cr",
        "_buffer",
        "_comment",
        "_data",
        "_name",
        "_size",
        "_started",
        "between_events",
    )

    def __init__(self) -> None:
        self._buffer = b""
        self._data: list[bytes] = []
        self._name = self._comment = b""
        self._size = 0
        self._after_cr = False
        self._started = False
        self.between_events = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that `chunk` completes, in order.

        Raises:
            ValueError: an event is larger than :data:`MAX_EVENT_BYTES`.
        """
        # Nearly every chunk of a token stream: complete events of one data line each.
        if self.between_events and chunk.startswith(b"data: ") and chunk.endswith(b"\n\n"):
            events = chunk[6:-2].split(b"\n\ndata: ")
            # Counting line ends takes several times as long. So does searching for bytes instead of
            # an integer: `in` first tries to convert them to one, and discards the error.
            data = b"".join(events)
            if _LF not in data and _CR not in data:
                self._started = True
                return events
        return self._feed_lines(chunk)

    def finish(self) -> list[bytes]:
        """The event that the end of the body completes, if its final blank line is missing.

        The standard drops such an event. Some servers omit the blank line, and their last token
        must not be lost.
        """
        events: list[bytes] = []
        if self._buffer:
            line, self._buffer = self._buffer, b""
            self._line(line, events)
        self._line(b"", events)
        return events

    def _feed_lines(self, chunk: bytes) -> list[bytes]:
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk[:1] == b"\n":
                chunk = chunk[1:]
        buffer = self._buffer + chunk
        if not self._started:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                self._buffer = buffer
                self.between_events = not buffer
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
        self.between_events = not (self._buffer or self._data or self._after_cr or self._name)
        return events

    def _line(self, line: bytes, events: list[bytes]) -> None:
        if not line:
            self._end_event(events)
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._size += len(value)
            if self._size > MAX_EVENT_BYTES:
                raise ValueError(f"an event is larger than {MAX_EVENT_BYTES} bytes")
        elif field == b"event":
            self._name = value.strip()
        elif field == b"":
            self._comment = value
        elif field == b"error":
            events.append(named_event(ERROR, value))
        elif field.startswith(b"{") and b'"error"' in line:
            events.append(named_event(ERROR, line))

    def _end_event(self, events: list[bytes]) -> None:
        name = self._name.decode(errors="replace").lower()
        if self._data:
            data = b"\n".join(self._data)
            events.append(data if name in ("", "message") else named_event(name, data))
            self._data = []
            self._size = 0
        elif name == ERROR:
            events.append(named_event(name, self._comment))
        self._name = self._comment = b""


class LineFraming:
    """Every line is an event (newline-delimited JSON)."""

    __slots__ = ("_buffer",)
    between_events = False

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes, without blank ones."""
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        if len(self._buffer) > MAX_EVENT_BYTES:
            raise ValueError(f"a line is larger than {MAX_EVENT_BYTES} bytes")
        return [line for line in lines if line.strip()]

    def finish(self) -> list[bytes]:
        """The last line, if its newline is missing."""
        rest, self._buffer = self._buffer, b""
        return [rest] if rest.strip() else []


class BodyFraming:
    """The whole body is one event."""

    __slots__ = ("_parts", "_size")
    between_events = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Returns no event: :meth:`finish` returns the only one."""
        self._size += len(chunk)
        if self._size > MAX_EVENT_BYTES:
            raise ValueError(f"the body is larger than {MAX_EVENT_BYTES} bytes")
        self._parts.append(chunk)
        return []

    def finish(self) -> list[bytes]:
        """The body, unless it is empty."""
        body = b"".join(self._parts)
        return [body] if body else []


Framing = SseFraming | LineFraming | BodyFraming
FRAMINGS: dict[str, type[SseFraming | LineFraming | BodyFraming]] = {
    "sse": SseFraming,
    "lines": LineFraming,
    "body": BodyFraming,
}
