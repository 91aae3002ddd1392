"""The codec of embeddings, with answers of a real server."""

from __future__ import annotations

import json

import pytest

from tokenbench.api import (
    BatchPrompt,
    ChatPrompt,
    Dialect,
    FrozenMap,
    Message,
    Prompt,
    Target,
    TextPrompt,
    TokenPrompt,
    Turn,
    UsageError,
)
from tokenbench.load.codecs import find_codec
from tokenbench.load.embeddings import EmbeddingsCodec
from tokenbench.load.framing import FRAMINGS

# From xllamacpp 2026.10.11549 on 2026-12-01; vectors cut after two numbers.
ANSWER = (
    b'{"model":"smollm2","object":"list","usage":{"prompt_tokens":6,"total_tokens":6},"data":['
    b'{"embedding":[-0.009818251244723797,-0.002778445603325963],"index":0,"object":"embedding"},'
    b'{"embedding":[0.005531098693609238,-0.0014499527169391513],"index":1,"object":"embedding"}]}'
)
ERROR = (
    b'{"error":{"code":400,"message":"\\"input\\" must not be empty",'
    b'"type":"invalid_request_error"}}'
)
TARGET = Target(model="m", dialect=Dialect(codecs=(EmbeddingsCodec.name,), token_id_prompts=True))


def _body(prompt: Prompt, target: Target = TARGET) -> dict[str, object]:
    request = EmbeddingsCodec().encode(Turn(prompt=prompt, max_tokens=0), target)
    assert request.path == "/v1/embeddings"
    found: dict[str, object] = json.loads(request.body)
    return found


def test_an_answer() -> None:
    """One event: usage, and that there is a vector. No token is counted."""
    codec = find_codec("openai-embeddings", None)
    assert not codec.tokens
    framing = FRAMINGS[codec.framing]()
    events = [*framing.feed(ANSWER[:50]), *framing.feed(ANSWER[50:]), *framing.finish()]
    (event,) = map(codec.classify, events)
    assert event.token and event.complete and event.n_in == 6
    assert event.n_out is None and event.text == ""


def test_an_error_and_an_empty_answer() -> None:
    """The server's message; an answer without vectors carries nothing."""
    codec = EmbeddingsCodec()
    assert codec.classify(ERROR).error == '"input" must not be empty'
    assert not codec.classify(b'{"data":[]}').token
    with pytest.raises(ValueError, match="malformed"):
        codec.classify(b"data: {}")


def test_what_is_sent() -> None:
    """One input or several, as text or token ids; fields of the dialect."""
    two = BatchPrompt((TextPrompt("One."), TokenPrompt((7, 8))))
    assert _body(two) == {"model": "m", "input": ["One.", [7, 8]]}
    assert _body(TextPrompt("One.")) == {"model": "m", "input": "One."}
    dialect = Dialect(extra_body=FrozenMap({"dimensions": 64}))
    assert _body(TextPrompt("One."), Target(model="m", dialect=dialect))["dimensions"] == 64


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (ChatPrompt((Message("user", "One."),)), "does not accept chat messages"),
        (BatchPrompt((TokenPrompt((7, 8)),)), "does not accept token ids"),
    ],
)
def test_what_cannot_be_sent(prompt: Prompt, words: str) -> None:
    """Messages never, token ids where the server does not take them."""
    with pytest.raises(UsageError, match=words):
        _body(prompt, Target(model="m", dialect=Dialect()))


@pytest.mark.parametrize("codec", ["openai-completions", "openai-chat"])
def test_an_endpoint_that_generates_takes_no_batch(codec: str) -> None:
    """With what would."""
    turn = Turn(prompt=BatchPrompt((TextPrompt("One."),)), max_tokens=0)
    with pytest.raises(UsageError) as raised:
        find_codec(codec, None).encode(turn, TARGET)
    assert "embeddings" in str(raised.value.hint)
