"""Requests for embeddings of random texts."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from tokenbench.api import (
    BatchPrompt,
    Session,
    SingleTurn,
    TextPrompt,
    TokenPrompt,
    Turn,
    UsageError,
    Vocabulary,
    Workload,
    WorkloadContext,
)

if TYPE_CHECKING:
    from .plugin import EmbeddingsOptions

# Space for what a model adds to an input: its beginning and its end.
_MARKS = 8


class EmbeddingsWorkload(Workload):
    """Single requests with one or several inputs."""

    def __init__(self, options: EmbeddingsOptions) -> None:
        self._options = options

    def context_tokens(self) -> int:
        """The longest input; those of a batch are independent sequences."""
        return self._options.input_tokens + _MARKS

    def sessions(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        """An endless stream, if the answers of the server have no tokens."""
        if context.tokens:
            raise UsageError(
                "workload embeddings: the server generates text",
                hint="use an engine for embeddings, such as openai:codec=embeddings or "
                "llamacpp:embeddings=true",
            )
        options, draw = self._options, random.Random(seed)
        vocabulary = Vocabulary.of(context)
        least = max(1, round(options.input_range * options.input_tokens))
        for number in itertools.count():
            lengths = [draw.randint(least, options.input_tokens) for _ in range(options.batch)]
            inputs = [
                vocabulary.prompt([vocabulary.piece(f"{seed}:{number}:{n}", length, first=True)])
                for n, length in enumerate(lengths)
            ]
            yield SingleTurn(
                Turn(
                    # No messages: an endpoint that embeds has no chat template.
                    prompt=BatchPrompt(cast("tuple[TokenPrompt | TextPrompt, ...]", tuple(inputs))),
                    n_in=sum(lengths),
                    max_tokens=0,
                )
            )
