"""Vocabulary and planned sessions: contents, lengths, forks and joins."""

from __future__ import annotations

import itertools
import pickle

import attrs
import pytest

from tokenbench.api import (
    Block,
    ChatPrompt,
    FittedWords,
    FrozenMap,
    PlannedSession,
    PlannedTurn,
    TextPrompt,
    TokenPrompt,
    Turn,
    TurnResult,
    Vocabulary,
    WorkloadContext,
)
from tokenbench_testing.samples.prompts import SampleTokenizer, count

TOKENIZER = SampleTokenizer()
IDS = WorkloadContext(tokenizer=TOKENIZER, token_ids=True, chat=False)
TEXT = WorkloadContext(tokenizer=TOKENIZER, token_ids=False, chat=False)


@pytest.mark.parametrize("context", [IDS, TEXT, attrs.evolve(TEXT, chat=True)])
def test_prompts_have_the_asked_length(context: WorkloadContext) -> None:
    """As token ids, text and messages; the same key gives the same content."""
    vocabulary = Vocabulary.of(context)
    for lengths in ((1, 1), (40, 3, 60), (5, 0, 9)):
        pieces = [
            vocabulary.piece(f"{n}", tokens, first=n == 0) for n, tokens in enumerate(lengths)
        ]
        again = [vocabulary.piece(f"{n}", tokens, first=n == 0) for n, tokens in enumerate(lengths)]
        assert pieces == again
        prompt = vocabulary.prompt(pieces)
        assert count(prompt, TOKENIZER) == sum(lengths)
    kinds = {IDS: TokenPrompt, TEXT: TextPrompt}
    assert isinstance(prompt, kinds.get(context, ChatPrompt))


def test_fewer_tokens_are_the_beginning_of_more() -> None:
    """A cut block is in a cache that holds the whole one."""
    for context in (IDS, TEXT):
        vocabulary = Vocabulary.of(context)
        whole, part = vocabulary.piece("k", 50), vocabulary.piece("k", 20)
        assert whole[: len(part)] == part and len(part) < len(whole)


def test_fitted_words_and_estimates() -> None:
    """Without a tokenizer: words measured on the server, or words of three letters."""
    words = FrozenMap({"one": 1, "two": 2})
    fitted = FittedWords(words=words, starts=("one",), overhead=0, source="probes")
    plain = attrs.evolve(TEXT, tokenizer=None)
    vocabulary = Vocabulary.of(attrs.evolve(plain, fitted=fitted))
    prompt = vocabulary.prompt([vocabulary.piece("a", 6, first=True), vocabulary.piece("b", 5)])
    assert isinstance(prompt, TextPrompt)
    assert sum(words[word] for word in prompt.text.split()) == 11
    guessed = Vocabulary.of(plain).piece("a", 7)
    assert isinstance(guessed, str) and len(guessed.split()) == 7


def _plan() -> tuple[PlannedTurn, ...]:
    rules, task = Block("rules", 8, common=True), Block("task", 4)
    more = Block("more", 3)
    return (
        PlannedTurn(blocks=(rules, task), max_tokens=1),
        PlannedTurn(blocks=(rules, task, more), max_tokens=2, parents=(0,)),
        PlannedTurn(blocks=(rules, Block("other", 2)), max_tokens=3, parents=(0,), agent=1),
        PlannedTurn(
            blocks=(rules, task, more, Block("end", 5)), max_tokens=4, parents=(1, 2), delay_s=0.5
        ),
    )


def _session(key: str = "s", **more: object) -> PlannedSession:
    return PlannedSession(
        vocabulary=Vocabulary.of(IDS),
        plan=_plan(),
        key=key,
        common_key="c",
        **more,  # type: ignore[arg-type]
    )


def _ids(turn: Turn) -> tuple[int, ...]:
    assert isinstance(turn.prompt, TokenPrompt)
    return turn.prompt.ids


@pytest.mark.covers("PlannedSession.next")
def test_turns_come_when_their_parents_ended() -> None:
    """A fork, and a join that comes with the numbers of the turns as they were sent, also if the
    session was pickled in between.
    """
    session = _session()
    (first,) = session.next(None)
    session = pickle.loads(pickle.dumps(session))
    one, other = session.next(TurnResult(number=0, ok=True, text=""))
    assert (one.parents, other.parents, other.agent) == ((0,), (0,), 1)
    assert session.next(TurnResult(number=2, ok=False, text="")) == ()
    (join,) = session.next(TurnResult(number=1, ok=True, text=""))
    assert (join.parents, join.delay_s, join.max_tokens) == ((1, 2), 0.5, 4)
    assert session.next(TurnResult(number=3, ok=True, text="")) == ()
    turns = (first, one, other, join)
    assert [turn.n_in for turn in turns] == [len(_ids(turn)) for turn in turns] == [12, 15, 10, 20]
    assert _ids(join)[:15] == _ids(one) and _ids(one)[:12] == _ids(first)
    assert _ids(other)[:8] == _ids(first)[:8]
    assert [turn.shared_tokens for turn in turns] == [0, 12, 8, 15]


def test_common_blocks_are_the_same_in_all_sessions() -> None:
    """Others are not; what a cache holds of them counts as shared."""
    (one,), (other,) = (
        _session(key, held=held).next(None)
        for key, held in (("a", frozenset()), ("b", frozenset({"rules"})))
    )
    assert _ids(one)[:8] == _ids(other)[:8] and _ids(one)[8:] != _ids(other)[8:]
    assert (one.shared_tokens, other.shared_tokens) == (0, 8)
    assert len({_ids(turn) for turn in itertools.chain((one,), (other,))}) == 2
