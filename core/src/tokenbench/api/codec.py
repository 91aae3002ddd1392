"""Codecs: encode a turn as an HTTP request, decode the events of its response."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import attrs
import msgspec

from .errors import UsageError
from .frozen import FrozenMap, JsonValue
from .workload import Turn

COMPLETIONS = "openai-completions"
CHAT = "openai-chat"
EMBEDDINGS = "openai-embeddings"


@attrs.frozen(kw_only=True)
class Dialect:
    """The protocol fields that a server understands. Fields it does not claim are not sent.

    `codecs`: supported codecs, preferred first. Core uses the first one that can encode a
    workload's prompts; if the workload raises UsageError for one, it tries the next. Three rules
    are checked beforehand: no messages with ``openai-completions``, no token ids with
    ``openai-chat``, and `max_tokens` 0 if a codec's answers have no tokens. Evals name their own
    codec (:class:`EvalNeeds`). `extra_body`: fields added to every measured request (for example a
    switch that turns prefix caching off). `token_id_prompts`: a prompt may be token ids.
    `ignore_eos`, `min_tokens`: the server has this field, for answers of exactly the requested
    length; without either, answers may end early, which the check `lengths` reports. `exact_body`:
    other fields with that effect; they are added to requests for an exact length. `usage`: it
    reports token counts at the end of a stream on request; `continuous_usage`: in every chunk.
    `seed`: it has that field. `max_tokens_field`: the field of the output limit. `done_event`:
    every complete stream ends with an event that means `done` (``[DONE]``), so a stream without it
    has failed. `affinity_header`: the request header by which a router recognises turns that should
    reach the same replica; it gets `Turn.affinity`.
    """

    codecs: tuple[str, ...] = (CHAT,)
    token_id_prompts: bool = False
    ignore_eos: bool = False
    min_tokens: bool = False
    usage: bool = True
    continuous_usage: bool = False
    seed: bool = False
    done_event: bool = False
    max_tokens_field: str = "max_tokens"
    affinity_header: str | None = None
    extra_body: FrozenMap[JsonValue] = FrozenMap()
    exact_body: FrozenMap[JsonValue] = FrozenMap()


@attrs.frozen(kw_only=True)
class Target:
    """The server that a request is encoded for: the served model name and the dialect."""

    model: str
    dialect: Dialect


_SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "api-key", "x-api-key", "x-auth-token"}
)


def turn_headers(turn: Turn, dialect: Dialect) -> tuple[tuple[str, str], ...]:
    """The headers of a turn's request: the turn's own, and its affinity key in the dialect's
    header.

    Raises:
        UsageError: one of its own holds a secret, or is the affinity header.
    """
    if not turn.headers and turn.affinity is None:
        return ()  # Most turns.
    headers = dict(turn.headers)
    for name in headers:
        if name.lower() in _SECRET_HEADERS:
            raise UsageError(
                f"a workload cannot send the header {name}",
                hint="set secrets in the engine's options, such as api_key_env",
            )
    affinity = dialect.affinity_header
    if turn.affinity is not None and affinity is not None:
        if affinity.lower() in {name.lower() for name in headers}:
            raise UsageError(
                f"the header {affinity} has two values: the workload's and the affinity key",
                hint="use one of them",
            )
        headers[affinity] = turn.affinity
    return tuple(headers.items())


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to an endpoint. `path` starts with a slash. `headers`: name and value of this
    request's own headers; core adds authorization and the headers of all requests.
    """

    path: str
    body: bytes
    method: str = "POST"
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class StreamEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The meaning of one framed event of a response.

    `token`: the event carries generated content (text, reasoning text, a tool call or token ids);
    an empty delta or a role alone does not count; its arrival is the token's timestamp. `n_tokens`:
    number of tokens in the event, if the server reports it. `text`: the generated text; it starts
    with `reasoning`, the rest of it is the `answer`. `tool_calls`: names and arguments of tool
    calls, which `text` does not contain; `n_tool_calls`: how many calls begin in the event. `n_in`,
    `n_out`, `n_cached`: cumulative usage, if the event carries it. `finish`: why the generation
    ended. `complete`: the answer ends here, although there is no `finish`. `done`: the last event
    of the protocol. `error`: the server's message; the request has failed.
    """

    token: bool = False
    n_tokens: int | None = None
    text: str = ""
    n_in: int | None = None
    n_out: int | None = None
    n_cached: int | None = None
    finish: str | None = None
    done: bool = False
    error: str | None = None
    reasoning: str = ""
    tool_calls: str = ""
    n_tool_calls: int = 0
    complete: bool = False

    @property
    def answer(self) -> str:
        """The text without the reasoning."""
        return self.text[len(self.reasoning) :] if self.reasoning else self.text


class Codec(ABC):
    """Encodes requests and decodes response events. One instance serves all streams of a load
    worker; a protocol whose events depend on earlier ones of their response overrides
    :meth:`decoder`.

    `framing`: how the body is cut into events: ``sse`` (the data of one server-sent event),
    ``lines`` (one line each) or ``body`` (the whole body is one event). `ends_with_done`: a
    complete stream must contain an event with `done`. `ends_with_finish`: it must contain one with
    `finish` or `complete`. A server-sent event named ``error`` fails the request. It is not
    decoded, nor are empty events and responses with a status other than 200. A request is
    successful if it has at least one token, no `error`, and the end events that the class requires.

    `tokens`: the answers have tokens. If not (embeddings, scores), an event with `token` carries
    the answer or a part of it, its arrival time is the answer's, and `n_out` stays None: results
    then have requests, input tokens and E2E latency, but no TTFT, TPOT or output tokens.

    `text_marks`: for JSON events, the bytes after which the generated text starts as a JSON string,
    such as ``"text":"``. If two events differ only inside that string, the second one is not
    decoded: it means the same as the first, apart from the text. Empty: every event is decoded.
    """

    name: str
    framing: str = "sse"
    ends_with_done: bool = True
    ends_with_finish: bool = False
    tokens: bool = True
    text_marks: tuple[bytes, ...] = ()

    @abstractmethod
    def encode(self, turn: Turn, target: Target) -> HttpRequest:
        """The HTTP request for a turn. Pure.

        The first codec of a dialect must encode a TextPrompt (``openai-chat``: messages): core
        sends one to confirm that the server is ready.

        Raises:
            UsageError: the protocol cannot express the turn (token ids for a chat endpoint).
        """

    @abstractmethod
    def classify(self, event: bytes) -> StreamEvent:
        """The meaning of one event. Called per token: no I/O, no logging.

        Raises:
            ValueError: the bytes do not follow the protocol.
        """

    def decoder(self) -> Callable[[bytes], StreamEvent]:
        """The function that decodes the events of one response; called once per request.

        By default :meth:`classify`. If every event repeats the text so far, return a method of a
        new object that remembers it, and leave `text_marks` empty.
        """
        return self.classify
