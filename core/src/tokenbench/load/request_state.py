"""One turn on the wire: its stamps, its tokens, its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tokenbench.api import Codec, StreamEvent

from . import native
from .chunk_template import ChunkTemplate, template_of
from .framing import READERS, Reader
from .records import ABSENT, RECORD, Status, TokenSource

if TYPE_CHECKING:
    from .connection import Connection
    from .session_state import SessionState

# What a column of the records holds.
_MOST = 2**31 - 1

Asked = tuple[int, int, bool]
"""What a turn asked for: prompt tokens (-1 where unknown), output limit, exactly that many."""


class InFlightRequest:
    """A request and its response. Made by a driver, fed by a connection, ended once.

    `run` is the session that it belongs to, None for a request that is a session of its own; only
    where there is one, `text` is collected, because a later turn may need it. `template` is what
    recognises further tokens, None before the first and where there is none.
    """

    __slots__ = (
        "_classify",
        "_codec",
        "_last_token",
        "_on_end",
        "_template",
        "asked_in",
        "asked_out",
        "begun_ns",
        "bytes_in",
        "carrier",
        "counts",
        "done",
        "end_ns",
        "error",
        "exact",
        "http_bytes",
        "http_status",
        "keep_text",
        "n_cached",
        "n_in",
        "n_out",
        "n_tokens",
        "number",
        "reader",
        "reused",
        "run",
        "scheduled_ns",
        "sent_first_ns",
        "sent_last_ns",
        "session",
        "status",
        "text",
        "timestamps",
    )

    def __init__(
        self,
        session: int,
        number: int,
        http_bytes: bytes,
        asked: Asked,
        codec: Codec,
        scheduled_ns: int,
        run: SessionState | None,
        on_end: Callable[[InFlightRequest], None],
    ) -> None:
        self.session = session
        self.number = number
        self.http_bytes = http_bytes
        self.carrier: Connection | None = None
        self.asked_in, self.asked_out, self.exact = asked
        self.scheduled_ns = scheduled_ns
        self.run = run
        self.keep_text = run is not None
        self._on_end = on_end
        self._codec = codec
        self._classify = codec.classify
        self.reader: Reader = READERS[codec.framing]()
        self.begun_ns = self.sent_first_ns = self.sent_last_ns = ABSENT
        self.end_ns = ABSENT
        self.n_in = self.n_out = self.n_cached = ABSENT
        self.n_tokens = 0
        self.bytes_in = 0
        self.http_status = ABSENT
        self.reused = False
        self.done = False
        self.status: Status | None = None
        self.error: str | None = None
        self._template: ChunkTemplate | None = None
        self._last_token: tuple[bytes, StreamEvent] | None = None
        self.timestamps = native.timestamps()
        self.counts: list[int] = []
        self.text: list[str] = []

    def on_body(self, data: bytes, now_ns: int) -> None:
        """Bytes of a response with status 200.

        Raises:
            ValueError: the bytes are not of the codec's format.
        """
        self._take(self.reader.feed(data), now_ns)

    def _take(self, events: list[bytes], now_ns: int) -> None:
        for data in events:
            # Whatever a codec of somebody else gives: compiled code would insist on types.
            event: Any = self._classify(data)
            if event.token:
                self._token(data, event, now_ns)
            if event.n_out is not None:
                self.n_out = _column(event.n_out)
            if event.n_in is not None:
                self.n_in = _column(event.n_in)
            if event.n_cached is not None:
                self.n_cached = _column(event.n_cached)
            if event.done:
                self.done = True
            if event.error is not None:
                self.error = str(event.error)

    def _token(self, data: bytes, event: Any, now_ns: int) -> None:
        """A chunk that carries a token; `n_out` is still that of the chunk before."""
        count = event.n_tokens
        self.timestamps.append(now_ns)
        if event.n_out is not None and count is None:
            # Continuous usage: what this chunk added. The first chunk added all so far; usage that
            # came only now, with many chunks before, says nothing of this one.
            if self.n_out != ABSENT:
                count = event.n_out - self.n_out
            elif len(self.timestamps) == 1:
                count = event.n_out
        if count is not None:
            self.n_tokens = _column(self.n_tokens + _column(count))
            self._pad(len(self.timestamps) - 1)
            self.counts.append(count)
        if self.keep_text:
            self.text.append(event.text)
        else:
            self._last_token = data, event

    def template(self) -> ChunkTemplate | None:
        """What recognises further tokens; None before the first and where there is none. Made only
        when it is asked for: a response of one token needs none.
        """
        if self._last_token is not None:
            data, event = self._last_token
            self._last_token = None
            if self._template is None or not self._template.made_of(data):
                self._template = template_of(data, event, self._codec.text_marks)
        return self._template

    def _pad(self, length: int) -> None:
        """Chunks of which nobody said how many tokens they hold."""
        self.counts += [ABSENT] * (length - len(self.counts))

    def complete(self, now_ns: int) -> None:
        """The response ended as HTTP says it should."""
        if self.http_status != 200:
            self.end(
                now_ns,
                Status.HTTP,
                f"HTTP {self.http_status}: {self.error or ''}".strip(),
            )
            return
        if not self.reader.clean:
            try:
                self._take(self.reader.finish(), now_ns)
            except ValueError as error:
                self.end(now_ns, Status.BROKEN, f"unreadable response: {error}")
                return
        if self.error is not None:
            self.end(now_ns, Status.ERROR_EVENT, self.error)
        elif not self.timestamps:
            self.end(now_ns, Status.EMPTY, "the response carried no token")
        elif self._codec.ends_with_done and not self.done and self.n_out == ABSENT:
            # transformers serve ends without [DONE]; its usage tells that the stream is whole.
            self.end(now_ns, Status.BROKEN, "the stream ended without its end mark")
        else:
            self.end(now_ns, Status.OK, None)

    def end(self, now_ns: int, status: Status, error: str | None) -> None:
        """End it once; later ends are ignored."""
        if self.status is not None:
            return
        self.status = status
        self.error = error
        self.end_ns = now_ns
        self._on_end(self)

    def row(self, worker: int, chunk_offset: int) -> bytes:
        """Its record, as ``RECORD_FIELDS`` say; `chunk_offset`: chunks written before its own."""
        source = TokenSource.USAGE if self.n_out != ABSENT else TokenSource.NONE
        n_out = self.n_out
        if n_out == ABSENT and self.n_tokens:
            source, n_out = TokenSource.CHUNKS, self.n_tokens
        timestamps = self.timestamps
        if self.counts:
            self._pad(len(timestamps))
        return RECORD.pack(
            self.session,
            self.number,
            worker,
            Status.CANCELLED if self.status is None else self.status,
            self.http_status,
            self.reused,
            self.exact,
            source,
            self.scheduled_ns,
            self.sent_first_ns,
            self.sent_last_ns,
            timestamps[0] if timestamps else ABSENT,
            timestamps[-1] if timestamps else ABSENT,
            self.end_ns,
            self.n_in,
            n_out,
            self.n_cached,
            self.asked_in,
            self.asked_out,
            len(timestamps),
            chunk_offset,
            timestamps.coalesced,
            self.bytes_in,
        )


def _column(count: int) -> int:
    """A count that a column of the records can hold.

    Raises:
        ValueError: it cannot.
    """
    if not -1 < count <= _MOST:
        raise ValueError(f"{count} tokens are more, or fewer, than there can be")
    return count
