"""Random prompts, which cannot be predicted, cached or compressed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tokenbench.api import (
    ChatPrompt,
    FittedWords,
    Message,
    Prompt,
    Session,
    SingleTurn,
    TextPrompt,
    Tokenizer,
    TokenPrompt,
    Turn,
    UsageError,
    Workload,
    WorkloadContext,
)

from .text import TextMaker, guess_text

if TYPE_CHECKING:
    from .plugin import RandomOptions

# Maximum size of chat templates in known models; used only to size the context.
_TEMPLATE_TOKENS = 64


class RandomWorkload(Workload):
    """One-turn sessions with random prompts."""

    def __init__(self, options: RandomOptions) -> None:
        self._options = options
        if options.prefix_tokens >= options.input_tokens:
            raise UsageError(
                f"prefix_tokens: expected less than input_tokens "
                f"({options.input_tokens}), got {options.prefix_tokens}",
                hint="each prompt needs at least one random token after the prefix",
            )

    def context_tokens(self) -> int:
        """The longest prompt and answer, plus space for a chat template."""
        return self._options.input_tokens + self._options.output_tokens + _TEMPLATE_TOKENS

    def sessions(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        """An endless stream. The same seed gives the same prompts."""
        options = self._options
        draw = random.Random(seed)
        make = _maker(context, options.format, draw, options.prefix_tokens)
        shared_tokens = 0
        while True:
            n_in = _length(draw, options.input_tokens, options.input_range)
            n_in = max(n_in, options.prefix_tokens + 1)
            n_out = _length(draw, options.output_tokens, options.output_range)
            # Always the requested length, so that the server's usage is compared with it.
            yield SingleTurn(
                Turn(
                    prompt=make(n_in),
                    n_in=n_in,
                    max_tokens=n_out,
                    exact_output=True,
                    shared_tokens=shared_tokens,
                )
            )
            shared_tokens = options.prefix_tokens


def _length(draw: random.Random, longest: int, share: float) -> int:
    return draw.randint(max(1, round(share * longest)), longest)


class _Ids:
    """Prompts as token ids, uniform over all ordinary ids."""

    def __init__(self, tokenizer: Tokenizer, draw: random.Random, prefix: int) -> None:
        special = tokenizer.special_ids
        self._ids = [i for i in range(tokenizer.vocab_size) if i not in special]
        self._draw = draw
        self._prefix = tuple(draw.choices(self._ids, k=prefix))

    def __call__(self, length: int) -> Prompt:
        rest = self._draw.choices(self._ids, k=length - len(self._prefix))
        return TokenPrompt((*self._prefix, *rest))


class _Texts:
    """Prompts as text with the given number of tokens."""

    def __init__(
        self, tokenizer: Tokenizer, draw: random.Random, prefix: int, *, chat: bool
    ) -> None:
        self._maker = TextMaker(tokenizer, draw)
        self._prefix = self._maker.text(prefix) if prefix else ""
        self._chat = chat

    def __call__(self, length: int) -> Prompt:
        return _prompt(self._maker.text(length, self._prefix), chat=self._chat)


class _Fitted:
    """Prompts as text of words that were measured on the server."""

    def __init__(self, words: FittedWords, draw: random.Random, prefix: int, *, chat: bool) -> None:
        self._words = words
        self._draw = draw
        self._prefix = words.text(draw, prefix) if prefix else ""
        self._length = prefix
        self._chat = chat

    def __call__(self, length: int) -> Prompt:
        text = self._words.text(self._draw, length - self._length, self._prefix)
        return _prompt(text, chat=self._chat)


class _Guesses:
    """Prompts as plain words; their lengths are estimates."""

    def __init__(self, draw: random.Random, prefix: int, *, chat: bool) -> None:
        self._draw = draw
        self._prefix = guess_text(draw, prefix)
        self._length = prefix
        self._chat = chat

    def __call__(self, length: int) -> Prompt:
        text = self._prefix + guess_text(self._draw, length - self._length)
        return _prompt(text, chat=self._chat)


def _prompt(text: str, *, chat: bool) -> Prompt:
    return ChatPrompt((Message("user", text),)) if chat else TextPrompt(text)


def _maker(
    context: WorkloadContext, form: str, draw: random.Random, prefix: int
) -> Callable[[int], Prompt]:
    tokenizer = context.tokenizer
    chat = context.chat or form == "chat"
    if form == "tokens" and not (context.token_ids and tokenizer):
        raise UsageError(
            "workload random: format=tokens needs a server that accepts token ids, and a tokenizer",
            hint="omit the format, or name the tokenizer (--model NAME, or openai:tokenizer=DIR)",
        )
    if tokenizer is None and context.fitted is not None:
        return _Fitted(context.fitted, draw, prefix, chat=chat)
    if tokenizer is None:
        return _Guesses(draw, prefix, chat=chat)
    if context.token_ids and form in ("auto", "tokens"):
        return _Ids(tokenizer, draw, prefix)
    return _Texts(tokenizer, draw, prefix, chat=chat)
