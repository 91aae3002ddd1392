"""Codecs that lose parts of requests, or decode events wrongly."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

from tokenbench.api import (
    Codec,
    CodecSpec,
    HttpRequest,
    StreamEvent,
    Target,
    TextPrompt,
    Turn,
    UsageError,
)
from tokenbench.load.codecs import ChatCodec, CompletionsCodec
from tokenbench_testing.kit import Subject

_CAPTURED = Path(__file__).parent.parent / "captured"
_STREAM = b'{"word": "Hello", "n": 1}\n{"word": " world", "n": 1}\n{"in": 3, "out": 2}\n'
_COUNT = itertools.count()


class Lines(Codec):
    """Good: one JSON line per token, the counts in the last line."""

    name = "words"
    framing = "lines"

    def encode(self, turn: Turn, target: Target) -> HttpRequest:
        body = self.body(turn, target)
        return HttpRequest(path="/words", body=json.dumps(body).encode())

    def body(self, turn: Turn, target: Target) -> dict[str, Any]:
        if not isinstance(turn.prompt, TextPrompt):
            raise UsageError("only plain text is supported", hint="use text prompts")
        extra = {**target.dialect.extra_body, **turn.extra_body}
        return {"text": turn.prompt.text, "tokens": turn.max_tokens, **extra}

    def classify(self, event: bytes) -> StreamEvent:
        data = json.loads(event)
        if not isinstance(data, dict) or not ({"word", "out"} & data.keys()):
            raise ValueError("neither a word nor the counts")
        if "word" in data:
            return self.word(data)
        return StreamEvent(n_in=data.get("in"), n_out=data["out"], done=True)

    def word(self, data: dict[str, Any]) -> StreamEvent:
        return StreamEvent(token=True, text=data["word"], n_tokens=data.get("n"))


class Misnamed(Lines):
    name = "other"


class Framed(Lines):
    framing = "chunks"


class Picky(Lines):
    """Takes every prompt for text."""

    def body(self, turn: Turn, target: Target) -> dict[str, Any]:
        assert isinstance(turn.prompt, TextPrompt)
        return super().body(turn, target)


class Relative(Lines):
    def encode(self, turn: Turn, target: Target) -> HttpRequest:
        return HttpRequest(path="words", body=super().encode(turn, target).body)


class Numbered(Lines):
    """Requests with exact output have a unique id."""

    def body(self, turn: Turn, target: Target) -> dict[str, Any]:
        number = next(_COUNT) if turn.exact_output else 0
        return {**super().body(turn, target), "id": number}


class Authorised(Lines):
    def body(self, turn: Turn, target: Target) -> dict[str, Any]:
        return {**super().body(turn, target), "key": os.environ.get("OPENAI_API_KEY", "")}


class Shortening(Lines):
    """Sends only the start of a long prompt."""

    def body(self, turn: Turn, target: Target) -> dict[str, Any]:
        body = super().body(turn, target)
        return {**body, "text": body["text"][:8]}


class Unlimited(Lines):
    def body(self, turn: Turn, target: Target) -> dict[str, Any]:
        return {**super().body(turn, target), "tokens": 2048}


class Plain(Lines):
    def body(self, turn: Turn, target: Target) -> dict[str, Any]:
        body = super().body(turn, target)
        return {"text": body["text"], "tokens": body["tokens"]}


class Presuming(Lines):
    def body(self, turn: Turn, target: Target) -> dict[str, Any]:
        return {**super().body(turn, target), "ignore_eos": turn.exact_output}


class Trimming(Lines):
    def word(self, data: dict[str, Any]) -> StreamEvent:
        return StreamEvent(token=True, text=data["word"].strip(), n_tokens=data.get("n"))


class Twice(Lines):
    def word(self, data: dict[str, Any]) -> StreamEvent:
        return StreamEvent(token=True, text=data["word"], n_tokens=2)


class Timeless(Lines):
    """Text and counts, but no token."""

    def word(self, data: dict[str, Any]) -> StreamEvent:
        return StreamEvent(text=data["word"], n_tokens=data.get("n"))


class NeverDone(Lines):
    def classify(self, event: bytes) -> StreamEvent:
        found = super().classify(event)
        return StreamEvent(n_out=found.n_out) if found.done else found


class Alarmed(Lines):
    def classify(self, event: bytes) -> StreamEvent:
        found = super().classify(event)
        return StreamEvent(n_out=found.n_out, done=True, error="ended") if found.done else found


class Remembering(Lines):
    """Counts words since it was created."""

    def __init__(self) -> None:
        self.seen = 0

    def word(self, data: dict[str, Any]) -> StreamEvent:
        self.seen += 1
        return StreamEvent(token=True, text=data["word"], n_tokens=data.get("n"), n_in=self.seen)


class Forgiving(Lines):
    """Ignores what it cannot decode."""

    def classify(self, event: bytes) -> StreamEvent:
        try:
            return super().classify(event)
        except ValueError:
            return StreamEvent()


class Trusting(Lines):
    def classify(self, event: bytes) -> StreamEvent:
        data = json.loads(event)
        if "word" in data.keys():  # noqa: SIM118 - a list has no keys
            return self.word(data)
        return StreamEvent(n_in=data["in"], n_out=data["out"], done=True)


def _subject(made: type[Codec], **data: Any) -> Subject:
    spec = CodecSpec(name="words", summary="one JSON line per token", factory=lambda *_: made())
    data = {"stream": _STREAM, "text": "Hello world", "tokens": 2, **data}
    return Subject(kind="codec", name="words", module=__name__, spec=spec, data=data)


def _built_in(made: type[Codec], captured: str, text: str) -> Subject:
    spec = CodecSpec(name=made.name, summary="built in", factory=lambda *_: made())
    data = {"stream": (_CAPTURED / captured).read_bytes(), "text": text, "tokens": 3}
    return Subject(kind="codec", name=made.name, module=__name__, spec=spec, data=data)


GOOD = [
    _subject(Lines),
    _subject(Lines, stream=None, text=None, tokens=None),
    _built_in(ChatCodec, "chat.sse", "Hello there!"),
    _built_in(CompletionsCodec, "completions.sse", " or three,"),
]
BAD = {
    "codec-name-matches-its-spec": _subject(Misnamed),
    "framing-is-known": _subject(Framed),
    "some-prompt-is-supported": _subject(Picky, stream=None),
    "requests-have-a-path": _subject(Relative),
    "encoding-is-pure": _subject(Numbered),
    "requests-carry-no-secret": _subject(Authorised),
    "prompt-is-sent": _subject(Shortening),
    "token-limit-is-sent": _subject(Unlimited),
    "extra-fields-are-sent": _subject(Plain),
    "unclaimed-fields-are-not-sent": _subject(Presuming),
    "stream-text-is-decoded": _subject(Trimming),
    "stream-tokens-are-counted": _subject(Twice),
    "text-events-are-tokens": _subject(Timeless),
    "done-ends-the-stream": _subject(NeverDone),
    "stream-has-no-error": _subject(Alarmed),
    "classifying-is-pure": _subject(Remembering),
    "invalid-bytes-raise-value-error": _subject(Forgiving),
    "malformed-events-raise-only-value-error": _subject(Trusting),
}
ALSO: dict[str, set[str]] = {}
