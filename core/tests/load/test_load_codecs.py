"""The built-in codecs, on events that real servers sent."""

from __future__ import annotations

import json

import pytest

from tokenbench.api import (
    ChatPrompt,
    Dialect,
    FrozenMap,
    Message,
    PluginError,
    StreamEvent,
    Target,
    TextPrompt,
    TokenPrompt,
    Turn,
    UsageError,
)
from tokenbench.load.codecs import ChatCodec, CompletionsCodec, find_codec

# Captured from xllamacpp 2026.10.11549 on 2026-11-21; ids shortened.
_ROLE = (
    b'{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],'
    b'"created":1795238538,"id":"c","model":"smollm2","object":"chat.completion.chunk"}'
)
_TOKEN = (
    b'{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"Hello"}}],'
    b'"created":1795238538,"id":"c","model":"smollm2","object":"chat.completion.chunk"}'
)
_END = (
    b'{"choices":[{"finish_reason":"length","index":0,"delta":{}}],"created":1795238538,"id":"c",'
    b'"model":"smollm2","object":"chat.completion.chunk"}'
)
_USAGE = (
    b'{"choices":[],"created":1795238538,"id":"c","model":"smollm2",'
    b'"object":"chat.completion.chunk","usage":{"completion_tokens":3,"prompt_tokens":31,'
    b'"total_tokens":34,"prompt_tokens_details":{"cached_tokens":0}},"timings":{"cache_n":0}}'
)
_COMPLETION_END = (
    b'{"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"length"}],"created":1,'
    b'"model":"smollm2","object":"text_completion","usage":{"completion_tokens":5,'
    b'"prompt_tokens":7,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":0}},"id":"c"}'
)


def test_roles_and_empty_deltas_are_no_tokens() -> None:
    """Only generated content counts: the first and the last chunk of a chat have none."""
    codec = ChatCodec()
    assert codec.classify(_ROLE) == StreamEvent()
    assert codec.classify(_TOKEN) == StreamEvent(token=True, text="Hello")
    assert codec.classify(_END) == StreamEvent(finish="length")
    assert codec.classify(_USAGE) == StreamEvent(n_in=31, n_out=3, n_cached=0, complete=True)
    assert codec.classify(b"[DONE]").done


def test_usage_in_the_last_choice_is_read() -> None:
    """llama.cpp's completions endpoint sends usage with an empty text."""
    event = CompletionsCodec().classify(_COMPLETION_END)
    assert (event.token, event.n_in, event.n_out, event.finish) == (False, 7, 5, "length")


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "so"},
        {"reasoning": "so"},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]},
    ],
)
def test_reasoning_and_tool_calls_are_tokens(delta: dict[str, object]) -> None:
    """Everything the model generates is a token, not only visible text."""
    event = ChatCodec().classify(json.dumps({"choices": [{"delta": delta}]}).encode())
    assert event.token


def test_token_ids_give_the_token_count() -> None:
    """A chunk with three ids is three tokens, even without text."""
    data = b'{"choices":[{"text":"","token_ids":[5,6,7]}]}'
    assert CompletionsCodec().classify(data) == StreamEvent(token=True, n_tokens=3)


@pytest.mark.parametrize("data", [b'{"error":{"message":"no"}}', b'{"object":"error"}'])
def test_errors_inside_a_stream_are_reported(data: bytes) -> None:
    """A server that fails after the head of the response sends an error event."""
    assert ChatCodec().classify(data).error


def test_other_formats_raise_value_error() -> None:
    """The load worker classifies a ValueError as an unreadable response."""
    with pytest.raises(ValueError):  # noqa: PT011 - msgspec's own, a ValueError
        ChatCodec().classify(b"<html>")


def test_only_supported_fields_are_sent() -> None:
    """A strict server refuses unknown fields with HTTP 422."""
    turn = Turn(prompt=TextPrompt("hi"), max_tokens=5, exact_output=True, seed=1)
    plain = json.loads(CompletionsCodec().encode(turn, Target(model="m", dialect=Dialect())).body)
    assert set(plain) == {
        "model",
        "prompt",
        "stream",
        "temperature",
        "max_tokens",
        "stream_options",
    }
    rich = Dialect(
        ignore_eos=True,
        min_tokens=True,
        seed=True,
        continuous_usage=True,
        max_tokens_field="max_completion_tokens",
        extra_body=FrozenMap({"cache_prompt": False}),
    )
    body = json.loads(CompletionsCodec().encode(turn, Target(model="m", dialect=rich)).body)
    assert body["ignore_eos"] is True
    assert body["min_tokens"] == 5
    assert body["max_completion_tokens"] == 5
    assert body["cache_prompt"] is False
    assert body["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}


def test_fields_for_an_exact_length() -> None:
    """They are sent only where exactly so many tokens are asked for."""
    no_end = {"generation_config": '{"eos_token_id": -1}'}
    target = Target(model="m", dialect=Dialect(exact_body=FrozenMap(no_end)))
    for exact in (True, False):
        turn = Turn(prompt=TextPrompt("hi"), max_tokens=5, exact_output=exact)
        body = json.loads(CompletionsCodec().encode(turn, target).body)
        assert {key: body.get(key) for key in no_end} == (
            no_end if exact else dict.fromkeys(no_end)
        )


def test_unsupported_prompts_are_refused() -> None:
    """Token ids need the completions codec and a dialect with them, messages the chat codec."""
    ids = Turn(prompt=TokenPrompt((1, 2)), max_tokens=1)
    chat = Turn(prompt=ChatPrompt((Message("user", "hi"),)), max_tokens=1)
    takes = Target(model="m", dialect=Dialect(token_id_prompts=True))
    assert json.loads(CompletionsCodec().encode(ids, takes).body)["prompt"] == [1, 2]
    assert json.loads(ChatCodec().encode(chat, takes).body)["messages"][0]["content"] == "hi"
    for codec, turn, target in (
        (CompletionsCodec(), ids, Target(model="m", dialect=Dialect())),
        (CompletionsCodec(), chat, takes),
        (ChatCodec(), ids, takes),
    ):
        with pytest.raises(UsageError):
            codec.encode(turn, target)


def test_an_unknown_codec_is_refused() -> None:
    """The error names the codec."""
    with pytest.raises(PluginError, match="'nope'"):
        find_codec("nope", None)


@pytest.mark.parametrize("codec", ["openai-chat", "openai-completions", "openai-embeddings"])
def test_headers_of_a_turn(codec: str) -> None:
    """Its own and the affinity key under the dialect's name; without one, no key is sent."""
    turn = Turn(
        prompt=TextPrompt("One."),
        max_tokens=1,
        affinity="session-7",
        headers=FrozenMap({"x-agent": "3"}),
    )
    found = find_codec(codec, None)
    target = Target(model="m", dialect=Dialect(affinity_header="x-session-id"))
    assert found.encode(turn, target).headers == (("x-agent", "3"), ("x-session-id", "session-7"))
    assert found.encode(turn, Target(model="m", dialect=Dialect())).headers == (("x-agent", "3"),)


@pytest.mark.parametrize("name", ["Authorization", "X-API-Key", "cookie", "x-session-id"])
def test_headers_that_a_workload_cannot_send(name: str) -> None:
    """Secrets, and the one that has the affinity key."""
    turn = Turn(
        prompt=TextPrompt("One."), max_tokens=1, affinity="a", headers=FrozenMap({name: "b"})
    )
    target = Target(model="m", dialect=Dialect(affinity_header="X-Session-ID"))
    with pytest.raises(UsageError, match=r"cannot send the header|has two values"):
        ChatCodec().encode(turn, target)
