"""How a turn becomes bytes for a server, and how the server's bytes become tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod

import attrs
import msgspec

from .frozen import FrozenMap
from .workload import Turn

COMPLETIONS = "openai-completions"
CHAT = "openai-chat"

JsonScalar = str | int | float | bool | None
JsonValue = JsonScalar | tuple[JsonScalar, ...]


@attrs.frozen(kw_only=True)
class Dialect:
    """Which of the protocol's fields a server understands. What is not claimed is not sent.

    `codecs`: codecs it speaks, preferred first. `extra_body`: fields that every measured request
    carries (for example a switch that turns prefix caching off).
    `chunk_is_token`: each token-bearing chunk carries exactly one token.
    """

    codecs: tuple[str, ...] = (CHAT,)
    token_id_prompts: bool = False
    ignore_eos: bool = False
    min_tokens: bool = False
    usage: bool = True
    continuous_usage: bool = False
    seed: bool = False
    chunk_is_token: bool = False
    max_tokens_field: str = "max_tokens"
    extra_body: FrozenMap[JsonValue] = FrozenMap()


@attrs.frozen(kw_only=True)
class Target:
    """Whom a request is encoded for: the model's served name and the server's dialect."""

    model: str
    dialect: Dialect


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to the endpoint; `path` starts with a slash. Authorisation is the core's."""

    path: str
    body: bytes
    method: str = "POST"
    content_type: str = "application/json"


class StreamEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one framed event of a response means.

    `token`: it carries generated content (text, reasoning text, a tool call or token ids); an empty
    delta or a role alone is not a token. `n_tokens`: how many tokens, where the server says so.
    `n_in`, `n_out`, `n_cached`: the server's usage, cumulative, where the event carries it.
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


class Codec(ABC):
    """A codec. Stateless: one instance serves all streams of a load worker.

    `framing` says how events are cut out of the body: ``sse`` (data of one server-sent event),
    ``lines`` (one line each), ``body`` (the whole body is one event). `ends_with_done` says whether
    a complete stream must carry an event with `done`.

    `text_marks`: for formats of JSON events, the bytes right after which the generated text begins,
    as a JSON string: ``"text":"``. Of two events that differ inside that string only, the second
    need not be decoded: it means what the first meant, but for the text. Empty: decode every event.
    """

    name: str
    framing: str = "sse"
    ends_with_done: bool = True
    text_marks: tuple[bytes, ...] = ()

    @abstractmethod
    def encode(self, turn: Turn, target: Target) -> HttpRequest:
        """The request of a turn. Pure.

        Raises:
            UsageError: the turn cannot be said in this format (token ids to a chat endpoint).
        """

    @abstractmethod
    def classify(self, event: bytes) -> StreamEvent:
        """What one event means. Called per token: no I/O, no logging.

        Raises:
            ValueError: the bytes are not of this format.
        """
