"""A request in flight: its timestamps, its tokens, its end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from tokenbench.api import BenchError, Codec, Dialect, StreamEvent
from tokenbench.guard.types import mismatch

from . import native
from .answer_text import AnswerText
from .chunk_template import ChunkTemplate, make_template
from .framing import ERROR, FRAMINGS, Framing, NamedEvent, SseFraming
from .overflow import is_overflow
from .rate_limit import STATUS as RATE_LIMIT_STATUS
from .records import ABSENT, FINISHES, RECORD, Finish, Status, TokenSource

if TYPE_CHECKING:
    from .connection import Connection
    from .session_state import SessionState

# Bytes of a body without tokens that are kept, and characters of them in an error message.
_MAX_START, _MAX_ERROR_CHARS = 4096, 500
NO_END_MARK = "the stream ended without its end mark"
_EVENT_FIELDS = ("data", "event", "id", "retry", ":")
# Counts are 32-bit columns of the records.
_MAX_COUNT = 2**31 - 1
_MAX_TOOL_CALLS = 2**15 - 1
# Python 3.11 looks up the members of an enum slowly; these are needed for every request.
_OK = Status.OK
_NO_FINISH, _OTHER_FINISH = Finish.NONE, Finish.OTHER
_FROM_USAGE, _NO_SOURCE = TokenSource.USAGE, TokenSource.NONE

_NO_EVENT = StreamEvent()

Asked = tuple[int, int, bool, int, int, int]
"""The fields of a record that the workload sets: `asked_in`, `asked_out`, `exact_output`,
`asked_shared`, `label`, `agent`, see :data:`.records.RECORD_FIELDS`. -1: unknown.
"""
NOTHING_ASKED: Asked = (ABSENT, 0, False, ABSENT, ABSENT, 0)


class CodecFailedError(Exception):
    """`classify` raised an exception (the cause), or returned a wrong result (`problem`)."""

    def __init__(self, problem: str | None) -> None:
        super().__init__(problem)
        self.problem = problem


class ResponseFormat:
    """The codec's attributes that describe its responses, looked up once instead of per request.

    `done_event`: a complete stream must contain an event with `done`. The other fields are those of
    the codec.
    """

    __slots__ = ("decoder", "done_event", "ends_with_finish", "framing", "text_marks", "tokens")

    def __init__(self, codec: Codec, dialect: Dialect | None = None) -> None:
        self.decoder = codec.decoder
        self.done_event = codec.ends_with_done or (dialect is not None and dialect.done_event)
        self.ends_with_finish = codec.ends_with_finish
        self.framing = FRAMINGS[codec.framing]
        self.text_marks = codec.text_marks
        self.tokens = codec.tokens


class InFlightRequest:
    """A request and its response: created by a scheduler, fed by a connection, ended once.

    `session` and `turn` are numbers, as in the records. `session_state` is None for a session of
    one turn; otherwise `answer_text` is collected, because a later turn may use it. `counts` has
    the tokens of each token-bearing chunk, and is empty if none of them reports it. `body_start`:
    the start of the body, until the first token. `answer_ns`: arrival of the first text that is not
    reasoning.
    """

    __slots__ = (
        "_classify",
        "_complete",
        "_format",
        "_last_token",
        "_on_end",
        "_template",
        "answer_ns",
        "answer_text",
        "asked",
        "body_start",
        "bytes_in",
        "connection",
        "counts",
        "dispatched_ns",
        "done",
        "end_ns",
        "error",
        "finish",
        "framing",
        "http_bytes",
        "http_status",
        "n_cached",
        "n_in",
        "n_out",
        "n_tokens",
        "n_tool_calls",
        "reasoning_chunks",
        "retries",
        "reused",
        "scheduled_ns",
        "sent_first_ns",
        "sent_last_ns",
        "session",
        "session_state",
        "status",
        "timestamps",
        "turn",
    )

    def __init__(
        self,
        session: int,
        turn: int,
        http_bytes: bytes,
        asked: Asked,
        response_format: ResponseFormat,
        scheduled_ns: int,
        session_state: SessionState | None,
        on_end: Callable[[InFlightRequest], None],
    ) -> None:
        self.session = session
        self.turn = turn
        self.http_bytes = http_bytes
        self.connection: Connection | None = None
        self.asked = asked
        self.scheduled_ns = scheduled_ns
        self.session_state = session_state
        self.answer_text = None if session_state is None else AnswerText()
        self._on_end = on_end
        self._format = response_format
        self._classify = response_format.decoder()
        self._complete = False
        self.framing: Framing = response_format.framing()
        self.dispatched_ns = self.sent_first_ns = self.sent_last_ns = ABSENT
        self.end_ns = ABSENT
        self.n_in = self.n_out = self.n_cached = ABSENT
        self.answer_ns = ABSENT
        self.n_tokens = self.n_tool_calls = self.reasoning_chunks = 0
        self.finish = _NO_FINISH
        self.bytes_in = 0
        self.http_status = ABSENT
        self.reused = False
        self.retries = 0
        self.done = False
        self.status: Status | None = None
        self.error: str | None = None
        self._template: ChunkTemplate | None = None
        self._last_token: tuple[bytes, StreamEvent] | None = None
        self.timestamps = native.timestamps()
        self.counts: list[int] = []
        self.body_start = b""

    def on_body(self, data: bytes, now_ns: int) -> None:
        """Handle a part of the body of a response with status 200.

        Raises:
            ValueError: the bytes are not in the codec's format.
        """
        try:
            self._handle_events(self.framing.feed(data), now_ns)
        finally:
            if not self.timestamps and len(self.body_start) < _MAX_START:
                self.body_start += data[:_MAX_START]

    def _handle_events(self, events: list[bytes], now_ns: int) -> None:
        event, classify = _NO_EVENT, self._classify
        try:
            for data in events:
                if not data or data.isspace():
                    continue  # A keep-alive.
                if type(data) is NamedEvent and data.name == ERROR:
                    self._set_error(_error_text(classify, data))
                else:
                    event = classify(data)
                    self._handle_event(data, event, now_ns)
        except (BenchError, ValueError):
            raise
        except BaseException as error:
            raise CodecFailedError(mismatch(event, StreamEvent)) from error

    def _handle_event(self, data: bytes, event: StreamEvent, now_ns: int) -> None:
        if event.token:
            self._handle_token_chunk(data, event, now_ns)
        if event.n_out is not None:
            self.n_out = _checked_count(event.n_out)
        if event.n_in is not None:
            self.n_in = _checked_count(event.n_in)
        if event.n_cached is not None and 0 <= event.n_cached <= _MAX_COUNT:
            self.n_cached = event.n_cached
        if event.finish is not None or event.complete:
            self._complete = True
            if event.finish is not None:
                self.finish = FINISHES.get(event.finish, _OTHER_FINISH)
        if event.n_tool_calls != 0:
            self.n_tool_calls = min(self.n_tool_calls + event.n_tool_calls, _MAX_TOOL_CALLS)
        if event.done:
            self.done = True
        if event.error is not None:
            self._set_error(str(event.error))

    def _set_error(self, text: str) -> None:
        """Keep the first error: later ones are often its consequences."""
        self.error = self.error or text or "unknown error"

    def _handle_token_chunk(self, data: bytes, event: StreamEvent, now_ns: int) -> None:
        # `self.n_out` is still that of the previous chunk.
        count = event.n_tokens
        self._complete = False  # Another choice had ended, but this one continues.
        self.timestamps.append(now_ns)
        if event.reasoning:
            self.reasoning_chunks += 1
        if self.answer_ns == ABSENT and len(event.text) > len(event.reasoning):
            self.answer_ns = now_ns
        if event.n_out is not None and count is None:
            # Continuous usage: the chunk has the difference to the previous usage, the first chunk
            # all tokens. If usage begins with a later chunk, the tokens of that chunk are unknown.
            if self.n_out != ABSENT:
                count = event.n_out - self.n_out
            elif len(self.timestamps) == 1:
                count = event.n_out
        if count is not None:
            self.n_tokens = _checked_count(self.n_tokens + _checked_count(count))
            self._pad_counts(len(self.timestamps) - 1)
            self.counts.append(count)
        answer_text = self.answer_text
        if answer_text is None:
            self._last_token = data, event
            return
        answer_text.parts.append(event.answer)
        if event.reasoning:
            answer_text.reasoning.append(event.reasoning)
        if event.tool_calls:
            answer_text.tool_calls.append(event.tool_calls)

    def template(self) -> ChunkTemplate | None:
        """The template for further tokens; None before the first plain token.

        It is made on demand, because a response of one token needs none.
        """
        if self._last_token is not None:
            data, event = self._last_token
            self._last_token = None
            if self._template is None or not self._template.matches(data):
                self._template = make_template(data, event, self._format.text_marks)
        return self._template

    def _pad_counts(self, length: int) -> None:
        """Append ABSENT for chunks with an unknown token count."""
        self.counts += [ABSENT] * (length - len(self.counts))

    def complete(self, now_ns: int) -> None:
        """End the request after a response that is complete according to HTTP."""
        if self.http_status != 200:
            error_text = f"HTTP {self.http_status}: {self.error or ''}".strip()
            limited = self.http_status == RATE_LIMIT_STATUS
            self.end(now_ns, Status.RATE_LIMITED if limited else Status.HTTP, error_text)
            return
        if not self.framing.between_events:
            try:
                self._handle_events(self.framing.finish(), now_ns)
            except ValueError as error:
                self.end(now_ns, Status.BROKEN, f"unreadable response: {error}")
                return
        status, reason = self._outcome()
        self.end(now_ns, status, reason)

    def _outcome(self) -> tuple[Status, str | None]:
        """Whether the answer is complete, and why not."""
        if self.error is not None:
            return Status.ERROR_EVENT, self.error
        if not self.timestamps:
            return self._without_tokens()
        if self._format.ends_with_finish and not self._complete:
            return Status.BROKEN, "the stream ended without a finish_reason or usage"
        if self._format.done_event and not self.done:
            return Status.BROKEN, NO_END_MARK
        return _OK, None

    def _without_tokens(self) -> tuple[Status, str]:
        """An empty answer, or a body that is not an event stream, such as an error as JSON."""
        body = self.body_start.decode(errors="replace").strip()[:_MAX_ERROR_CHARS]
        if self._format.framing is not SseFraming or not body or body.startswith(_EVENT_FIELDS):
            return Status.EMPTY, "the response has no token"
        try:
            error = self._classify(self.body_start).error
        except ValueError:
            error = None
        if error is not None:
            return Status.ERROR_EVENT, error
        return Status.BROKEN, f"the response is not an event stream: {body}"

    def end(self, now_ns: int, status: Status, error: str | None) -> None:
        """End the request; only the first call has an effect."""
        if self.status is not None:
            return
        if status is not _OK:
            if status is Status.BROKEN and self.error is not None:
                # The server reported an error before the connection broke.
                status, error = Status.ERROR_EVENT, self.error
            if status in (Status.HTTP, Status.ERROR_EVENT) and is_overflow(error or ""):
                status = Status.OVERFLOW
        self.status = status
        self.error = error
        self.end_ns = now_ns
        self._on_end(self)

    def row(self, worker: int, chunk_offset: int) -> bytes:
        """The record, as bytes, with the fields of ``RECORD_FIELDS``.

        Args:
            worker: number of the load worker.
            chunk_offset: chunks written before those of this request.
        """
        source = _FROM_USAGE if self.n_out != ABSENT else _NO_SOURCE
        n_out = self.n_out
        if n_out == ABSENT and self.n_tokens:
            source, n_out = TokenSource.CHUNKS, self.n_tokens
        if not self._format.tokens:
            source, n_out = TokenSource.NO_TOKENS, 0
        timestamps = self.timestamps
        chunks = len(timestamps)
        asked_in, asked_out, exact, shared, label, agent = self.asked
        if self.counts:
            self._pad_counts(chunks)
        return RECORD.pack(
            self.session,
            self.turn,
            worker,
            Status.CANCELLED if self.status is None else self.status,
            self.http_status,
            self.reused,
            exact,
            source,
            self.scheduled_ns,
            self.sent_first_ns,
            self.sent_last_ns,
            timestamps[0] if chunks else ABSENT,
            timestamps[-1] if chunks else ABSENT,
            self.end_ns,
            self.n_in,
            n_out,
            self.n_cached,
            asked_in,
            asked_out,
            chunks,
            chunk_offset,
            timestamps.coalesced,
            self.bytes_in,
            self.retries,
            label,
            agent,
            shared,
            self.finish,
            self.n_tool_calls,
            self.reasoning_chunks,
            self.answer_ns,
        )


def _error_text(classify: Callable[[bytes], StreamEvent], data: bytes) -> str:
    """The text of an error event: its error as the codec decodes it; otherwise its data."""
    with contextlib.suppress(ValueError):
        error = classify(data).error
        if error is not None:
            return str(error)
    return data.decode(errors="replace")[:_MAX_ERROR_CHARS]


def _checked_count(count: int) -> int:
    """The count itself, if a column of the records can hold it.

    Raises:
        ValueError: it cannot.
    """
    if not 0 <= count <= _MAX_COUNT:
        raise ValueError(f"impossible number of tokens: {count}")
    return count
