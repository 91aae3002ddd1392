"""Codecs: encode a turn as an HTTP request, decode the events of its response."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Union

import attrs
import msgspec

from .frozen import FrozenMap
from .workload import Turn

COMPLETIONS = "openai-completions"
CHAT = "openai-chat"

JsonScalar = str | int | float | bool | None
JsonValue = Union[JsonScalar, "tuple[JsonValue, ...]", "FrozenMap[JsonValue]"]


@attrs.frozen(kw_only=True)
class Dialect:
    """The protocol fields that a server understands. Fields it does not claim are not sent.

    `codecs`: supported codecs, preferred first. A workload is sent with the first one that can
    carry its prompts: a workload that raises UsageError for one codec is asked again for the next.
    Messages are never sent with ``openai-completions``, token ids never with ``openai-chat``; what
    another codec can carry is not checked beforehand. Evals name their codec themselves
    (:class:`EvalNeeds`). `extra_body`: fields added to every measured request (for example a switch
    that turns prefix caching off). `token_id_prompts`: a prompt may be token ids. `ignore_eos`,
    `min_tokens`: it knows the field that makes an answer exactly as long as asked; without either,
    answers may end early, which the check `lengths` reports. `usage`: it reports token counts at
    the end of a stream, if asked to; `continuous_usage`: in every chunk. `seed`: it knows that
    field. `max_tokens_field`: the field of the output limit. `chunk_is_token`: each chunk with
    content carries exactly one token. `done_event`: every complete stream ends with an event that
    means `done` (``[DONE]``), so a stream without it has failed.
    """

    codecs: tuple[str, ...] = (CHAT,)
    token_id_prompts: bool = False
    ignore_eos: bool = False
    min_tokens: bool = False
    usage: bool = True
    continuous_usage: bool = False
    seed: bool = False
    chunk_is_token: bool = False
    done_event: bool = False
    max_tokens_field: str = "max_tokens"
    extra_body: FrozenMap[JsonValue] = FrozenMap()


@attrs.frozen(kw_only=True)
class Target:
    """The server that a request is encoded for: the served model name and the dialect."""

    model: str
    dialect: Dialect


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to an endpoint. `path` starts with a slash. Core adds the authorization header."""

    path: str
    body: bytes
    method: str = "POST"
    content_type: str = "application/json"


class StreamEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The meaning of one framed event of a response.

    `token`: the event carries generated content (text, reasoning text, a tool call or token ids);
    an empty delta or a role alone does not count; its arrival is the token's timestamp. `n_tokens`:
    number of tokens in the event, if the server reports it. `text`: the generated text; it starts
    with `reasoning`, the rest of it is the `answer`. `tool_calls`: names and arguments of tool
    calls, which are no part of `text`. `n_in`, `n_out`, `n_cached`: cumulative usage, if the event
    carries it. `finish`: why the generation ended. `complete`: the answer ends here, although there
    is no `finish`. `done`: the last event of the protocol. `error`: the server's message; the
    request has failed.
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
    complete: bool = False

    @property
    def answer(self) -> str:
        """The text without the reasoning."""
        return self.text[len(self.reasoning) :] if self.reasoning else self.text


class Codec(ABC):
    """Encodes requests and decodes response events. Stateless: one instance serves all streams of a
    load worker.

    `framing`: how the body is cut into events: ``sse`` (the data of one server-sent event),
    ``lines`` (one line each) or ``body`` (the whole body is one event). `ends_with_done`: a
    complete stream must contain an event with `done`. `ends_with_finish`: it must contain one with
    `finish` or `complete`. Server-sent events named ``error`` fail the request and are not decoded,
    and neither are empty events and responses with another status than 200. A request is successful
    if it has at least one token, no `error`, and the ends that the class asks for.

    `text_marks`: for JSON events, the bytes after which the generated text starts as a JSON string,
    such as ``"text":"``. If two events differ only inside that string, the second one is not
    decoded: it means the same as the first, apart from the text. Empty: every event is decoded.
    """

    name: str
    framing: str = "sse"
    ends_with_done: bool = True
    ends_with_finish: bool = False
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
