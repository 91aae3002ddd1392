"""Random text with a given number of tokens.

Decoding random ids and encoding the text again gives a different number of tokens, because
neighbours merge. Words of one token with a leading space do not merge: pre-tokenizers split at
spaces. So the text is made of such words, checked, and adjusted at its end.
"""

from __future__ import annotations

import random

from tokenbench.api import Tokenizer, one_token_words

_TRIES = 8
# English text has about 4 characters a token, space included (OpenAI, "What are tokens and how to
# count them?", read 2026-11); these words have 3 letters.
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def guess_text(draw: random.Random, tokens: int) -> str:
    """About `tokens` tokens, if there is no tokenizer."""
    return "".join(" " + "".join(draw.choices(_LETTERS, k=3)) for _ in range(max(0, tokens)))


class TextMaker:
    """Creates text with a given number of tokens, with one tokenizer."""

    def __init__(self, tokenizer: Tokenizer, draw: random.Random) -> None:
        self._tokenizer = tokenizer
        self._draw = draw
        self._words = one_token_words(tokenizer)

    def text(self, tokens: int, prefix: str = "") -> str:
        """Text of `tokens` tokens that starts with `prefix`.

        The length is approximate if the tokenizer has no words of one token, or merges words.
        """
        if not self._words:
            return prefix + guess_text(self._draw, tokens)
        have = len(self._tokenizer.encode(prefix)) if prefix else 0
        words = self._draw.choices(self._words, k=max(1, tokens - have))
        for _ in range(_TRIES):
            text = prefix + "".join(words)
            off = len(self._tokenizer.encode(text)) - tokens
            if off == 0:
                return text
            if off > 0:
                words = words[:-off] or words[:1]
            else:
                words += self._draw.choices(self._words, k=-off)
        return prefix + "".join(words)
