"""Inputs have the asked number and lengths; servers that generate are refused."""

from __future__ import annotations

import itertools

import attrs
import pytest
from tokenbench_workload_embeddings.plugin import EmbeddingsOptions
from tokenbench_workload_embeddings.workload import EmbeddingsWorkload

from tokenbench.api import BatchPrompt, SingleTurn, TextPrompt, TokenPrompt, Turn, UsageError
from tokenbench_testing.samples.prompts import contexts

IDS, TEXT = (context for context in contexts() if context.tokenizer and not context.tokens)


def _turns(options: EmbeddingsOptions, context: object, count: int = 20) -> list[Turn]:
    found = itertools.islice(EmbeddingsWorkload(options).sessions(context, 3), count)  # type: ignore[arg-type]
    return [session.turn for session in found if isinstance(session, SingleTurn)]


def test_inputs_as_token_ids() -> None:
    """Exact lengths, distinct content, the asked batch; nothing is to be generated."""
    assert IDS.token_ids
    turns = _turns(EmbeddingsOptions(input_tokens=40, input_range=0.5, batch=4), IDS)
    seen = set()
    for turn in turns:
        assert isinstance(turn.prompt, BatchPrompt) and turn.max_tokens == 0
        inputs = [one for one in turn.prompt.inputs if isinstance(one, TokenPrompt)]
        assert len(inputs) == 4
        assert all(20 <= len(one.ids) <= 40 for one in inputs)
        assert turn.n_in == sum(len(one.ids) for one in inputs)
        seen |= {one.ids for one in inputs}
    assert len(seen) == 80
    assert len({len(ids) for ids in seen}) > 5


def test_inputs_as_text() -> None:
    """Texts have the asked length by the tokenizer."""
    assert TEXT.tokenizer is not None
    (turn,) = _turns(EmbeddingsOptions(input_tokens=30, batch=2), TEXT, 1)
    assert isinstance(turn.prompt, BatchPrompt)
    for one in turn.prompt.inputs:
        assert isinstance(one, TextPrompt)
        assert len(TEXT.tokenizer.encode(one.text)) == 30


def test_a_server_that_generates_is_refused() -> None:
    """With what would embed instead."""
    with pytest.raises(UsageError) as raised:
        next(EmbeddingsWorkload(EmbeddingsOptions()).sessions(attrs.evolve(IDS, tokens=True), 1))
    assert "codec=embeddings" in str(raised.value.hint)


def test_the_context_holds_the_longest_input() -> None:
    """Not the whole batch: its inputs are independent sequences."""
    workload = EmbeddingsWorkload(EmbeddingsOptions(input_tokens=100, batch=64))
    assert 100 < workload.context_tokens() < 200
