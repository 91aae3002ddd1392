"""Random text of a wanted number of tokens.

Decoding random ids and encoding the text again gives another number of tokens, because neighbours
merge. Words that are one token each, with a space before, do not merge: pre-tokenizers split at
spaces. So the text is built of such words, checked, and mended at its end.
"""

from __future__ import annotations

import random

from tokenbench.api import Tokenizer

_TRIES = 8
# English text has about 4 characters a token, space included (OpenAI, "What are tokens and how to
# count them?", read 2026-11); these words have 3 letters.
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def guess_text(draw: random.Random, tokens: int) -> str:
    """About `tokens` tokens, where nothing can count them."""
    return "".join(" " + "".join(draw.choices(_LETTERS, k=3)) for _ in range(max(0, tokens)))


class TextMaker:
    """Makes text whose encoding has the asked length, with one tokenizer."""

    def __init__(self, tokenizer: Tokenizer, draw: random.Random) -> None:
        self._tokenizer = tokenizer
        self._draw = draw
        self._words = _single_token_words(tokenizer)

    def text(self, tokens: int, prefix: str = "") -> tuple[str, bool]:
        """Text that begins with `prefix`; and whether it has exactly `tokens` tokens."""
        if not self._words:
            return prefix + guess_text(self._draw, tokens), False
        have = len(self._tokenizer.encode(prefix)) if prefix else 0
        words = self._draw.choices(self._words, k=max(1, tokens - have))
        for _ in range(_TRIES):
            text = prefix + "".join(words)
            off = len(self._tokenizer.encode(text)) - tokens
            if off == 0:
                return text, True
            if off > 0:
                words = words[:-off] or words[:1]
            else:
                words += self._draw.choices(self._words, k=-off)
        return prefix + "".join(words), False


def _single_token_words(tokenizer: Tokenizer) -> list[str]:
    """Words with a space before that are one token, also when they stand beside another."""
    found = []
    for index in range(tokenizer.vocab_size):
        if index in tokenizer.special_ids:
            continue
        text = tokenizer.decode((index,))
        if len(text) > 2 and text[0] == " " and text[1:].isalpha() and text.isascii():
            found.append(text)
    return [word for word in found if len(tokenizer.encode(word)) == 1]
