"""Prompts of a shared prefix and a suffix of their own."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tokenbench.api import Session, SingleTurn, Turn, Vocabulary, Workload, WorkloadContext

if TYPE_CHECKING:
    from .plugin import PrefixOptions

# Maximum size of chat templates in known models; used only to size the context.
_TEMPLATE_TOKENS = 64


class PrefixWorkload(Workload):
    """Sessions of one turn. The first prompt of a group shares nothing, unless it was primed."""

    def __init__(self, options: PrefixOptions) -> None:
        self._options = options

    def context_tokens(self) -> int:
        """Prefix, suffix and answer, plus space for a chat template."""
        options = self._options
        asked = options.prefix_tokens + options.suffix_tokens + options.output_tokens
        return asked + _TEMPLATE_TOKENS

    def sessions(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        """An endless stream. Each seed has prefixes of its own."""
        options = self._options
        vocabulary = Vocabulary.of(context)
        seen = set(range(options.groups)) if context.primed else set()
        n_in = options.prefix_tokens + options.suffix_tokens
        for number, group in enumerate(self._groups(seed)):
            suffix = vocabulary.piece(f"{seed}:suffix:{number}", options.suffix_tokens)
            yield SingleTurn(
                Turn(
                    prompt=vocabulary.prompt([self._prefix(vocabulary, seed, group), suffix]),
                    n_in=n_in,
                    max_tokens=options.output_tokens,
                    exact_output=True,
                    shared_tokens=options.prefix_tokens if group in seen else 0,
                    affinity=f"group-{group}",
                )
            )
            seen.add(group)

    def priming(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        """Each prefix once, with an answer of one token."""
        vocabulary = Vocabulary.of(context)
        for group in range(self._options.groups):
            prefix = self._prefix(vocabulary, seed, group)
            yield SingleTurn(Turn(prompt=vocabulary.prompt([prefix]), max_tokens=1))

    def _prefix(self, vocabulary: Vocabulary, seed: int, group: int) -> tuple[int, ...] | str:
        return vocabulary.piece(f"{seed}:prefix:{group}", self._options.prefix_tokens, first=True)

    def _groups(self, seed: int) -> Iterator[int]:
        """The group of each prompt."""
        options, draw = self._options, random.Random(seed)
        if options.order == "grouped":
            for number in itertools.count():
                yield (number // options.prompts) % options.groups
        weights = [1.0 / (rank + 1) ** options.zipf for rank in range(options.groups)]
        groups = range(options.groups)
        while True:
            yield from draw.choices(groups, weights, k=64)
