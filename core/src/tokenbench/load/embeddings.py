"""The built-in codec of embeddings: answers without tokens.

Fields as in the OpenAI API reference ("Create embeddings", read 2026-11). vLLM 0.32 and llama.cpp
take token ids as `input`, too.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tokenbench.api import (
    EMBEDDINGS,
    BatchPrompt,
    Codec,
    HttpRequest,
    StreamEvent,
    Target,
    TextPrompt,
    TokenPrompt,
    Turn,
    UsageError,
    turn_headers,
)


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None


class _Answer(msgspec.Struct):
    """A response. The vectors are not decoded: there may be megabytes of them."""

    data: list[msgspec.Raw] = []
    usage: _Usage | None = None
    error: Any = None


_DECODER = msgspec.json.Decoder(_Answer)


class EmbeddingsCodec(Codec):
    """``POST /v1/embeddings``: one text, one list of token ids, or several of either."""

    name = EMBEDDINGS
    framing = "body"
    ends_with_done = False
    tokens = False

    def encode(self, turn: Turn, target: Target) -> HttpRequest:
        """The request of a turn."""
        dialect = target.dialect
        body: dict[str, Any] = {"model": turn.model or target.model, "input": _input(turn, target)}
        body.update(dialect.extra_body)
        body.update(turn.extra_body)
        headers = turn_headers(turn, dialect)
        return HttpRequest(
            path="/v1/embeddings", body=msgspec.json.encode(body, enc_hook=dict), headers=headers
        )

    def classify(self, event: bytes) -> StreamEvent:
        """The answer, if it has a vector, or the server's error."""
        answer = _DECODER.decode(event)
        if answer.error is not None:
            error = answer.error
            message = error.get("message", error) if isinstance(error, dict) else error
            return StreamEvent(error=str(message))
        n_in = None if answer.usage is None else answer.usage.prompt_tokens
        return StreamEvent(token=bool(answer.data), n_in=n_in, complete=True)


def _input(turn: Turn, target: Target) -> Any:
    prompt = turn.prompt
    if isinstance(prompt, BatchPrompt):
        return [_item(one, target) for one in prompt.inputs]
    return _item(prompt, target)


def _item(prompt: Any, target: Target) -> str | list[int]:
    if isinstance(prompt, TextPrompt):
        return prompt.text
    if isinstance(prompt, TokenPrompt) and target.dialect.token_id_prompts:
        return list(prompt.ids)
    what = "token ids" if isinstance(prompt, TokenPrompt) else "chat messages"
    raise UsageError(f"this embeddings endpoint does not accept {what}", hint="use text prompts")
