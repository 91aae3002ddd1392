"""Words with known token counts, for text prompts of a given length without a tokenizer."""

from __future__ import annotations

import functools
import random

import attrs

from .frozen import FrozenMap


@attrs.frozen(kw_only=True)
class FittedWords:
    """Words whose token counts were measured on a running server before the clock started.

    `words`: tokens of each word after a space. `starts`: words with the same count at the start of
    a prompt. `overhead`: tokens that the server adds to every prompt (chat template, start token),
    so that its usage reports the asked length plus `overhead`. `source`: ``tokenize endpoint`` or
    ``probes``, one-token requests. `scale`: tokens to compose for each requested token. `error`:
    the largest relative error of the prompts that were sent to verify the fit.
    """

    words: FrozenMap[int]
    starts: tuple[str, ...]
    overhead: int
    source: str
    scale: float = 1.0
    error: float = 0.0

    def text(self, draw: random.Random, tokens: int, prefix: str = "") -> str:
        """Random text of `tokens` tokens, after `prefix` and a space if there is a prefix.

        If no combination of words has exactly that many tokens, the text is slightly shorter; with
        no prefix it has at least one word. The tokens of `prefix` do not count.
        """
        left = max(1, round(tokens * self.scale))
        chosen = [prefix] if prefix else [self._start(draw, left)]
        if not prefix:
            left -= self.words[chosen[0]]
        if self._longest == 1:
            chosen += draw.choices(self._names, k=max(0, left))
            return " ".join(chosen)
        # Never too many words at once; the last few are chosen so that the sum is exact.
        while (count := (left - self._exact) // self._longest) > 0:
            more = draw.choices(self._names, k=count)
            left -= sum(map(self.words.__getitem__, more))
            chosen += more
        while not self._possible(left) and left > 0:
            left -= 1
        while sizes := [size for size in self._by_size if self._possible(left - size)]:
            size = draw.choice(sizes)
            chosen.append(draw.choice(self._by_size[size]))
            left -= size
        return " ".join(chosen)

    def describe(self) -> str:
        """In words, for provenance."""
        return (
            f"{len(self.words)} words measured by {self.source}, overhead {self.overhead} tokens, "
            f"largest error {self.error:.2%}"
        )

    def _start(self, draw: random.Random, tokens: int) -> str:
        words = self.words
        if tokens >= self._exact + self._longest:
            return draw.choice(self.starts)
        fitting = [word for word in self.starts if self._possible(tokens - words[word])]
        return draw.choice(fitting or [min(self.starts, key=words.__getitem__)])

    def _possible(self, tokens: int) -> bool:
        """Whether words can have exactly so many tokens together."""
        return tokens >= 0 and (tokens >= len(self._sums) or self._sums[tokens])

    @functools.cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(self.words)

    @functools.cached_property
    def _longest(self) -> int:
        return max(self.words.values())

    @functools.cached_property
    def _exact(self) -> int:
        """From this sum on, every sum that the sizes can have at all is possible (Frobenius)."""
        return self._longest * self._longest

    @functools.cached_property
    def _by_size(self) -> dict[int, tuple[str, ...]]:
        sizes = sorted(set(self.words.values()))
        return {size: tuple(w for w, n in self.words.items() if n == size) for size in sizes}

    @functools.cached_property
    def _sums(self) -> list[bool]:
        """Whether words can have 0, 1, 2, ... tokens together."""
        sums = [True]
        for tokens in range(1, self._exact + 2 * self._longest):
            sums.append(any(size <= tokens and sums[tokens - size] for size in self._by_size))
        return sums
