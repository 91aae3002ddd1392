"""The built-in codecs: OpenAI completions and chat completions, streamed.

Field names as in the OpenAI API reference (platform docs, "Create completion" and "Create chat
completion", read 2026-11); `reasoning_content`, `reasoning` and `token_ids` as vLLM 0.32 and SGLang
0.5 send them; `cached_tokens` in `prompt_tokens_details`.
"""

from __future__ import annotations

import importlib
from abc import abstractmethod
from typing import Any

import msgspec

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    ChatPrompt,
    Codec,
    HttpRequest,
    PluginError,
    StreamEvent,
    Target,
    TextPrompt,
    TokenPrompt,
    Turn,
    UsageError,
)


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[msgspec.Raw] | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None
    token_ids: list[int] | None = None


# Raw JSON, `null` included: msgspec would have to decode a union with None.
_ABSENT = msgspec.Raw(b"null")
_NULL = b"null"


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: msgspec.Raw = _ABSENT
    message: msgspec.Raw = _ABSENT
    object: str | None = None


_decode = msgspec.json.Decoder(_Chunk).decode
_DONE = StreamEvent(done=True)
_NOTHING = StreamEvent()


class _OpenAI(Codec):
    """What both codecs share: the fields of a request, the decoding of a chunk."""

    path: str

    def encode(self, turn: Turn, target: Target) -> HttpRequest:
        """The request of a turn, with only the fields that the dialect supports."""
        dialect = target.dialect
        body: dict[str, Any] = {
            "model": target.model,
            **self._prompt(turn, target),
            "stream": True,
            "temperature": turn.temperature,
            dialect.max_tokens_field: turn.max_tokens,
        }
        if dialect.usage:
            body["stream_options"] = {"include_usage": True}
            if dialect.continuous_usage:
                body["stream_options"]["continuous_usage_stats"] = True
        if turn.exact_output and dialect.ignore_eos:
            body["ignore_eos"] = True
        if turn.exact_output and dialect.min_tokens:
            body["min_tokens"] = turn.max_tokens
        if turn.seed is not None and dialect.seed:
            body["seed"] = turn.seed
        body.update(dialect.extra_body)
        body.update(turn.extra_body)
        return HttpRequest(path=self.path, body=msgspec.json.encode(body))

    @abstractmethod
    def _prompt(self, turn: Turn, target: Target) -> dict[str, Any]:
        """The fields of the request that contain the prompt."""

    def classify(self, event: bytes) -> StreamEvent:
        """Decode one event; see :class:`tokenbench.api.StreamEvent`."""
        if event == b"[DONE]":
            return _DONE
        chunk = _decode(event)
        if chunk.error is not _ABSENT or chunk.object == "error":
            error = _error_text(chunk, event)
            if error is not None:
                return StreamEvent(error=error)
        usage = chunk.usage
        if not chunk.choices:
            return _NOTHING if usage is None else _with_usage(usage)
        choice = chunk.choices[0]
        text, token = choice.text or "", False
        if choice.delta is not None:
            text, token = _read_delta(choice.delta)
        n_tokens = len(choice.token_ids) if choice.token_ids else None
        token = token or text != "" or n_tokens is not None
        if usage is None:
            return StreamEvent(
                token=token, text=text, n_tokens=n_tokens, finish=choice.finish_reason
            )
        return _with_usage(
            usage, token=token, text=text, n_tokens=n_tokens, finish=choice.finish_reason
        )


def _error_text(chunk: _Chunk, event: bytes) -> str | None:
    """The error that a chunk reports; None if it reports that there is none."""
    error, message = bytes(chunk.error), bytes(chunk.message)
    if chunk.object != "error" and error == _NULL:
        return None
    text = next((part for part in (error, message) if part != _NULL), event)
    return text.decode(errors="replace")[:500]


def _read_delta(delta: _Delta) -> tuple[str, bool]:
    """The text of a chat chunk, and whether it has generated tool calls."""
    return delta.content or delta.reasoning_content or delta.reasoning or "", bool(delta.tool_calls)


def _with_usage(
    usage: _Usage,
    *,
    token: bool = False,
    text: str = "",
    n_tokens: int | None = None,
    finish: str | None = None,
) -> StreamEvent:
    details = usage.prompt_tokens_details
    return StreamEvent(
        token=token,
        text=text,
        n_tokens=n_tokens,
        finish=finish,
        n_in=usage.prompt_tokens,
        n_out=usage.completion_tokens,
        n_cached=details.cached_tokens if details is not None else None,
    )


class CompletionsCodec(_OpenAI):
    """``POST /v1/completions``: text or token-id prompts, no chat template."""

    name = COMPLETIONS
    path = "/v1/completions"
    text_marks = (b'"text":"', b'"text": "')

    def _prompt(self, turn: Turn, target: Target) -> dict[str, Any]:
        prompt = turn.prompt
        if isinstance(prompt, TokenPrompt):
            if not target.dialect.token_id_prompts:
                raise UsageError(
                    "the server does not accept token ids as a prompt",
                    hint="set format=text on the workload, for text prompts",
                )
            return {"prompt": list(prompt.ids)}
        if isinstance(prompt, TextPrompt):
            return {"prompt": prompt.text}
        raise UsageError(
            "the completions codec cannot send chat messages",
            hint="use a chat codec, or a workload with text prompts",
        )


class ChatCodec(_OpenAI):
    """``POST /v1/chat/completions``: messages; the server applies its chat template."""

    name = CHAT
    path = "/v1/chat/completions"
    text_marks = (b'"content":"', b'"content": "')

    def _prompt(self, turn: Turn, target: Target) -> dict[str, Any]:
        prompt = turn.prompt
        if isinstance(prompt, ChatPrompt):
            return {"messages": [{"role": m.role, "content": m.content} for m in prompt.messages]}
        if isinstance(prompt, TextPrompt):
            return {"messages": [{"role": "user", "content": prompt.text}]}
        raise UsageError(
            "the chat codec cannot send token ids",
            hint="set format=text or format=chat on the workload",
        )


BUILT_IN: dict[str, type[Codec]] = {COMPLETIONS: CompletionsCodec, CHAT: ChatCodec}


def find_codec(name: str, plugin: str | None) -> Codec:
    """A built-in codec, or one that the module `plugin` registers.

    Raises:
        PluginError: the codec does not exist.
    """
    if plugin is None and name in BUILT_IN:
        return BUILT_IN[name]()
    specs = importlib.import_module(plugin).bench_register_codecs() if plugin else ()
    for spec in specs:
        if spec.name == name:
            codec: Codec = spec.factory()
            return codec
    raise PluginError(
        f"unknown codec {name!r}" + (f" in {plugin}" if plugin else ""),
        hint=f"built in: {', '.join(BUILT_IN)}; plugins register others (bench_register_codecs)",
    )
