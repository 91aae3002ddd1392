"""Sends the turns of recorded conversations."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from tokenbench.api import (
    ChatPrompt,
    FrozenMap,
    JsonValue,
    Message,
    Part,
    Prompt,
    Session,
    TextPart,
    TextPrompt,
    Turn,
    TurnResult,
    UsageError,
    Workload,
    WorkloadContext,
    data_files,
    data_hash,
)

from .forms import Conversation, read_conversations

if TYPE_CHECKING:
    from .plugin import ConversationsOptions

_SAMPLE = Path(__file__).parent / "sample.jsonl"
# Without a tokenizer: 4 characters a token (OpenAI, "What are tokens and how to count them?", read
# 2026-11).
_CHARS_PER_TOKEN = 4
_LETTERS = "bcdfghjklmnpqrstvwxz"


class ConversationsWorkload(Workload):
    """The conversations in random order; after the last, again in another order."""

    def __init__(self, options: ConversationsOptions) -> None:
        self._options = options
        self._files = (
            data_files(options.file, where="conversations: file", suffixes=(".json", ".jsonl"))
            if options.file
            else (_SAMPLE,)
        )

    @functools.cached_property
    def _conversations(self) -> tuple[Conversation, ...]:
        return read_conversations(self._files, self._options.form)

    def dataset_hash(self) -> str:
        """Hash of the files."""
        return data_hash(self._files)

    def sessions(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        """Endless. Images and tools need a chat endpoint."""
        draw = random.Random(seed)
        found = list(self._conversations)
        if not context.chat and any(_needs_chat(conversation) for conversation in found):
            raise UsageError(
                "workload conversations: images, tools and their calls need a chat endpoint",
                hint="use an engine with a chat codec",
            )
        number = 0
        salt = _word(draw)
        while True:
            draw.shuffle(found)
            for conversation in found:
                if self._options.salt == "session":
                    salt = _word(draw)
                yield self._session(context, conversation, draw, salt, number)
                number += 1

    def _session(
        self,
        context: WorkloadContext,
        conversation: Conversation,
        draw: random.Random,
        salt: str,
        number: int,
    ) -> Session:
        options = self._options
        messages = conversation.messages
        if options.salt != "none":
            messages = _salted(messages, salt)
        asked = conversation.asked[: options.most_turns]
        limits = [self._limit(context, messages[index + 1].text) for index in asked]
        pauses = [min(options.think_cap_s, options.think_s * draw.expovariate(1.0)) for _ in asked]
        start = 0
        if number < context.begin_inside:
            start = draw.randrange(len(asked))
        asked = asked[start:]
        return Talk(
            messages=messages,
            tools=conversation.tools,
            asked=asked,
            limits=tuple(limits[start:]),
            pauses=tuple(pauses[start:]),
            shared=self._shared(context, messages, asked),
            live=options.answers == "live",
            chat=context.chat,
            name=f"conversation-{number}",
        )

    def _shared(
        self, context: WorkloadContext, messages: tuple[Message, ...], asked: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Tokens that each turn shares with the previous one. Empty if unknown: with a chat
        template, live answers, or other conversations with the same beginning.
        """
        known = self._options.salt == "session" and self._options.answers == "recorded"
        if context.tokenizer is None or context.chat or not known:
            return ()
        found, text, tokens = [0], "", 0
        for last in asked[:-1]:
            # Each text is a prefix of the next, and a token boundary is at its end, before a space.
            whole = _as_text(messages[: last + 1])
            tokens += len(context.tokenizer.encode(whole[len(text) :]))
            text = whole
            found.append(tokens)
        return tuple(found)

    def _limit(self, context: WorkloadContext, answer: str) -> int:
        """The output limit: as asked, or the length of the recorded answer."""
        if self._options.output_tokens is not None:
            return self._options.output_tokens
        if context.tokenizer is not None:
            return max(1, len(context.tokenizer.encode(answer)))
        return max(1, len(answer) // _CHARS_PER_TOKEN)


@attrs.define(kw_only=True)
class Talk(Session):
    """One conversation. `asked`: the messages up to which each turn sends it; `limits`, `pauses`
    and `shared` tokens of these turns.
    """

    messages: tuple[Message, ...]
    tools: tuple[FrozenMap[JsonValue], ...]
    asked: tuple[int, ...]
    limits: tuple[int, ...]
    pauses: tuple[float, ...]
    shared: tuple[int, ...]
    live: bool
    chat: bool
    name: str
    _answers: dict[int, str] = attrs.field(factory=dict, init=False)

    def next(self, previous: TurnResult | None) -> Turn | None:
        """The next turn, after the previous one was answered."""
        number = 0 if previous is None else previous.number + 1
        if previous is not None:
            if not previous.ok or number == len(self.asked):
                return None
            if self.live:
                self._answers[self.asked[previous.number] + 1] = previous.text
        return Turn(
            prompt=self._prompt(self.asked[number]),
            max_tokens=self.limits[number],
            delay_s=self.pauses[number] if number else 0.0,
            shared_tokens=self.shared[number] if self.shared else None,
            affinity=self.name,
        )

    def _prompt(self, last: int) -> Prompt:
        messages = tuple(
            attrs.evolve(message, content=self._answers[index], tool_calls=())
            if index in self._answers
            else message
            for index, message in enumerate(self.messages[: last + 1])
        )
        if self.chat:
            return ChatPrompt(messages, self.tools)
        return TextPrompt(_as_text(messages))


def _as_text(messages: tuple[Message, ...]) -> str:
    lines = [f"{message.role}: {message.text}" for message in messages]
    return "\n".join([*lines, "assistant:"])


def _needs_chat(conversation: Conversation) -> bool:
    return bool(conversation.tools) or any(
        message.tool_calls or not isinstance(message.content, str)
        for message in conversation.messages
    )


def _word(draw: random.Random) -> str:
    return "".join(draw.choices(_LETTERS, k=12))


def _salted(messages: tuple[Message, ...], salt: str) -> tuple[Message, ...]:
    """The word begins the first message, which is text where nothing else is in the way."""
    first = messages[0]
    content: str | tuple[Part, ...]
    if isinstance(first.content, str):
        content = f"{salt} {first.content}"
    else:
        content = (TextPart(salt), *first.content)
    return (attrs.evolve(first, content=content), *messages[1:])
