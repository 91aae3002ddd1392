"""Text and token ids of exact length, for workloads that compose prompts of several pieces."""

from __future__ import annotations

import functools
import itertools
import random
from typing import cast

import attrs

from .fitted import FittedWords
from .model import Tokenizer
from .workload import (
    ChatPrompt,
    Message,
    Prompt,
    SharedState,
    TextPrompt,
    TokenPrompt,
    WorkloadContext,
)

# Enough words: two pieces of ten tokens are then equal with a probability of 10^-36.
_MAX_WORDS = 4096
# English text has about 4 characters a token, space included (OpenAI, "What are tokens and how to
# count them?", read 2026-11); these words have 3 letters.
_LETTERS = "abcdefghijklmnopqrstuvwxyz"

Piece = tuple[int, ...] | str
"""A part of a prompt: token ids, or text that begins with a space."""


@functools.lru_cache(maxsize=8)
def one_token_words(tokenizer: Tokenizer) -> tuple[str, ...]:
    """Words with a leading space that are one token: the first few thousand of the vocabulary.

    They do not merge: pre-tokenizers split at spaces.
    """
    found: list[str] = []
    for index in range(tokenizer.vocab_size):
        if index in tokenizer.special_ids:
            continue
        text = tokenizer.decode((index,))
        if not (len(text) > 2 and text[0] == " " and text[1:].isalpha() and text.isascii()):
            continue
        if len(tokenizer.encode(text)) == 1:
            found.append(text)
            if len(found) == _MAX_WORDS:
                break
    return tuple(found)


@attrs.frozen(kw_only=True, eq=False)
class Vocabulary(SharedState):
    """What prompts of one server are composed of: token ids, words of one token, or words measured
    on the server. Without any of them, lengths are estimates.

    Prompts that begin with the same pieces have the same first tokens. `ids`: plain token ids, if
    prompts are token ids. `lead`: how many tokens the first word of a prompt has more than others.
    """

    ids: tuple[int, ...] = ()
    words: tuple[str, ...] = ()
    fitted: FittedWords | None = None
    chat: bool = False
    lead: int = 0

    @classmethod
    def of(cls, context: WorkloadContext) -> Vocabulary:
        """What suits the server."""
        tokenizer = context.tokenizer
        if tokenizer is None:
            return cls(fitted=context.fitted, chat=context.chat)
        if context.token_ids and not context.chat:
            special = tokenizer.special_ids
            return cls(ids=tuple(i for i in range(tokenizer.vocab_size) if i not in special))
        words = one_token_words(tokenizer)
        lead = len(tokenizer.encode("".join(words[:2]))) - 2 if len(words) > 1 else 0
        return cls(words=words, chat=context.chat, lead=max(0, lead))

    def piece(self, key: str | int, tokens: int, *, first: bool = False) -> Piece:
        """Random content of so many tokens. The same key gives the same content, and fewer tokens
        its beginning.

        Args:
            first: a prompt begins with it.
        """
        draw = random.Random(key)
        if self.ids:
            return tuple(draw.choices(self.ids, k=tokens))
        if first:
            tokens = max(1, tokens - self.lead)
        if self.fitted is not None:
            text = self.fitted.text(draw, tokens) if tokens > 0 else ""
            return text if first or not text else f" {text}"
        if self.words:
            return "".join(draw.choices(self.words, k=max(0, tokens)))
        return "".join(" " + "".join(draw.choices(_LETTERS, k=3)) for _ in range(max(0, tokens)))

    def prompt(self, pieces: list[Piece]) -> Prompt:
        """The pieces as one prompt: token ids, text, or a message of the user."""
        if self.ids:
            joined = itertools.chain.from_iterable(cast("list[tuple[int, ...]]", pieces))
            return TokenPrompt(tuple(joined))
        text = "".join(cast("list[str]", pieces))
        return ChatPrompt((Message("user", text),)) if self.chat else TextPrompt(text)
