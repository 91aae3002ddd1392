"""One turn on the wire: its stamps, its tokens, its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tokenbench.api import Codec, HttpRequest

from .records import ABSENT, CHUNK, Status, TokenSource
from .sse import READERS, Reader
from .stencil import stencil_of

if TYPE_CHECKING:
    from .sessions import SessionRun

Asked = tuple[int, int, bool]
"""What a turn asked for: prompt tokens (-1 where unknown), output limit, exactly that many."""

_pack_chunk = CHUNK.pack


class Exchange:
    """A request and its response. Made by a driver, fed by a connection, ended once.

    `run` is the session that it belongs to, None for a request that is a session of its own; only
    where there is one, `text` is collected, because a later turn may need it. `stencil` is what
    recognises further tokens, None before the first and where there is none.
    """

    __slots__ = (
        "_codec",
        "_on_end",
        "asked_in",
        "asked_out",
        "bytes_in",
        "chunks",
        "coalesced",
        "done",
        "end_ns",
        "error",
        "exact",
        "first_ns",
        "http_status",
        "keep_text",
        "last_ns",
        "n_cached",
        "n_chunks",
        "n_in",
        "n_out",
        "n_tokens",
        "number",
        "reader",
        "request",
        "reused",
        "run",
        "scheduled_ns",
        "sent_first_ns",
        "sent_last_ns",
        "session",
        "status",
        "stencil",
        "text",
    )

    def __init__(
        self,
        session: int,
        number: int,
        request: HttpRequest,
        asked: Asked,
        codec: Codec,
        scheduled_ns: int,
        run: SessionRun | None,
        on_end: Callable[[Exchange], None],
    ) -> None:
        self.session = session
        self.number = number
        self.request = request
        self.asked_in, self.asked_out, self.exact = asked
        self.scheduled_ns = scheduled_ns
        self.run = run
        self.keep_text = run is not None
        self._on_end = on_end
        self._codec = codec
        self.reader: Reader = READERS[codec.framing]()
        self.sent_first_ns = self.sent_last_ns = ABSENT
        self.first_ns = self.last_ns = self.end_ns = ABSENT
        self.n_in = self.n_out = self.n_cached = ABSENT
        self.n_tokens = 0
        self.n_chunks = self.coalesced = self.bytes_in = 0
        self.http_status = ABSENT
        self.reused = False
        self.done = False
        self.status: Status | None = None
        self.error: str | None = None
        self.stencil: tuple[bytes, bytes] | None = None
        self.chunks = bytearray()
        self.text: list[str] = []

    def plain_token(self, size: int, now_ns: int) -> None:
        """A token that a stencil has recognised, not the first of this exchange."""
        self.bytes_in += size
        self.n_chunks += 1
        if self.last_ns == now_ns:
            self.coalesced += 1
        self.last_ns = now_ns
        self.chunks += _pack_chunk(now_ns, -1)

    def on_body(self, data: bytes, now_ns: int) -> int:
        """Bytes of a response with status 200. Returns how many token events they held.

        Raises:
            ValueError: the bytes are not of the codec's format.
        """
        self.bytes_in += len(data)
        return self._take(self.reader.feed(data), now_ns)

    def _take(self, events: list[bytes], now_ns: int) -> int:  # noqa: C901, PLR0912 - one pass, per token
        tokens = 0
        for data in events:
            event = self._codec.classify(data)
            if event.token:
                tokens += 1
                count = event.n_tokens
                if self.first_ns == ABSENT:
                    self.first_ns = now_ns
                elif self.last_ns == now_ns:
                    self.coalesced += 1
                self.last_ns = now_ns
                self.n_chunks += 1
                if event.n_out is not None and count is None:
                    # Continuous usage: what this chunk added. The first chunk added all so far;
                    # usage that came only now, with many chunks before, says nothing of this one.
                    if self.n_out != ABSENT:
                        count = event.n_out - self.n_out
                    elif self.n_chunks == 1:
                        count = event.n_out
                self.n_tokens = self.n_tokens + count if count is not None else self.n_tokens
                self.chunks += _pack_chunk(now_ns, -1 if count is None else count)
                if self.keep_text:
                    self.text.append(event.text)
                else:
                    self.stencil = stencil_of(data, event, self._codec.text_marks)
            if event.n_out is not None:
                self.n_out = event.n_out
            if event.n_in is not None:
                self.n_in = event.n_in
            if event.n_cached is not None:
                self.n_cached = event.n_cached
            if event.done:
                self.done = True
            if event.error is not None:
                self.error = event.error
        return tokens

    def complete(self, now_ns: int) -> None:
        """The response ended as HTTP says it should."""
        if self.http_status != 200:
            self.end(
                now_ns,
                Status.HTTP,
                f"HTTP {self.http_status}: {self.error or ''}".strip(),
            )
            return
        try:
            self._take(self.reader.finish(), now_ns)
        except ValueError as error:
            self.end(now_ns, Status.BROKEN, f"unreadable response: {error}")
            return
        if self.error is not None:
            self.end(now_ns, Status.ERROR_EVENT, self.error)
        elif self.first_ns == ABSENT:
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

    def row(self, worker: int) -> list[int]:
        """Its record, in the order of ``RECORD_FIELDS``."""
        source = TokenSource.USAGE if self.n_out != ABSENT else TokenSource.NONE
        n_out = self.n_out
        if n_out == ABSENT and self.n_tokens:
            source, n_out = TokenSource.CHUNKS, self.n_tokens
        return [
            self.session,
            self.number,
            worker,
            int(self.status if self.status is not None else Status.CANCELLED),
            self.http_status,
            int(self.reused),
            int(self.exact),
            int(source),
            self.scheduled_ns,
            self.sent_first_ns,
            self.sent_last_ns,
            self.first_ns,
            self.last_ns,
            self.end_ns,
            self.n_in,
            n_out,
            self.n_cached,
            self.asked_in,
            self.asked_out,
            self.n_chunks,
            0,
            self.coalesced,
            self.bytes_in,
        ]
