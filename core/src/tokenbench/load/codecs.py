"""The built-in codecs: OpenAI completions and chat completions, streamed; and embeddings.

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
    EMBEDDINGS,
    BatchPrompt,
    ChatPrompt,
    Codec,
    HttpRequest,
    Message,
    NoOptions,
    Part,
    PluginContext,
    PluginError,
    Target,
    TextPart,
    TextPrompt,
    TokenPrompt,
    Turn,
    UsageError,
    turn_headers,
)

from .embeddings import EmbeddingsCodec
from .openai_chunk import classify


class _OpenAI(Codec):
    """What both codecs share: the fields of a request, the decoding of a chunk.

    Some servers send no ``[DONE]``, others send it after an error too; a finish reason or usage
    shows that an answer is complete.
    """

    path: str
    ends_with_done = False
    ends_with_finish = True

    def encode(self, turn: Turn, target: Target) -> HttpRequest:
        """The request of a turn, with only the fields that the dialect supports."""
        dialect = target.dialect
        body: dict[str, Any] = {
            "model": turn.model or target.model,
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
        # Merging an empty mapping would take as long as the rest of this method.
        if dialect.extra_body:
            body.update(dialect.extra_body)
        if turn.exact_output and dialect.exact_body:
            body.update(dialect.exact_body)
        if turn.extra_body:
            body.update(turn.extra_body)
        headers = turn_headers(turn, dialect)
        # `enc_hook` is for FrozenMap, in `extra_body` and in a tool's schema.
        body_bytes = msgspec.json.encode(body, enc_hook=dict)
        return HttpRequest(path=self.path, body=body_bytes, headers=headers)

    @abstractmethod
    def _prompt(self, turn: Turn, target: Target) -> dict[str, Any]:
        """The fields of the request that contain the prompt."""

    # Not a method that calls the function: that would cost a second call per event.
    classify = staticmethod(classify)


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
        if isinstance(prompt, BatchPrompt):
            raise _no_batch()
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
            fields: dict[str, Any] = {"messages": [_message(m) for m in prompt.messages]}
            if prompt.tools:
                fields["tools"] = prompt.tools
            return fields
        if isinstance(prompt, TextPrompt):
            return {"messages": [{"role": "user", "content": prompt.text}]}
        if isinstance(prompt, BatchPrompt):
            raise _no_batch()
        raise UsageError(
            "the chat codec cannot send token ids",
            hint="set format=text or format=chat on the workload",
        )


def _no_batch() -> UsageError:
    return UsageError(
        "completions and chat endpoints take one prompt per request",
        hint="use an engine with an embeddings endpoint",
    )


def _message(message: Message) -> dict[str, Any]:
    content: Any = message.content
    if not isinstance(content, str):
        content = [_part(part) for part in content]
    fields: dict[str, Any] = {"role": message.role, "content": content}
    if message.tool_calls:
        fields["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        fields["tool_call_id"] = message.tool_call_id
    return fields


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": part.url}}


BUILT_IN: dict[str, type[Codec]] = {
    COMPLETIONS: CompletionsCodec,
    CHAT: ChatCodec,
    EMBEDDINGS: EmbeddingsCodec,
}


def find_codec(name: str, plugin: str | None = None) -> Codec:
    """A built-in codec, or one that the module `plugin` registers.

    Raises:
        PluginError: the codec does not exist.
    """
    if plugin is None and name in BUILT_IN:
        return BUILT_IN[name]()
    specs = importlib.import_module(plugin).bench_register_codecs() if plugin else ()
    for spec in specs:
        if spec.name == name:
            codec: Codec = spec.factory(NoOptions(), PluginContext())
            return codec
    raise PluginError(
        f"unknown codec {name!r}" + (f" in {plugin}" if plugin else ""),
        hint=f"built in: {', '.join(BUILT_IN)}; plugins register others (bench_register_codecs)",
    )
