"""Random prompts: given lengths, deterministic by seed, without common prefixes."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenbench_workload_random.plugin import RandomOptions, bench_register_workloads

from tokenbench.api import (
    ChatPrompt,
    FittedWords,
    FrozenMap,
    PluginContext,
    TextPrompt,
    Tokenizer,
    TokenPrompt,
    UsageError,
    WorkloadContext,
)


class Bpe(Tokenizer):
    """A real byte-level BPE, trained on a few sentences."""

    def __init__(self) -> None:
        from tokenizers import Tokenizer as Fast
        from tokenizers import decoders, models, pre_tokenizers, trainers

        self._fast = Fast(models.BPE())
        self._fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self._fast.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=600,
            special_tokens=["<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        text = "the cat and the dog saw that the old man had one red hat and two big bags " * 20
        self._fast.train_from_iterator([text, " a few more words for the road " * 20], trainer)

    @property
    def vocab_size(self) -> int:
        """All ids."""
        return int(self._fast.get_vocab_size())

    @property
    def special_ids(self) -> frozenset[int]:
        """The two marks."""
        return frozenset({0, 1})

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids."""
        return tuple(self._fast.encode(text).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text."""
        return str(self._fast.decode(list(ids), skip_special_tokens=False))


BPE = Bpe()


def _context(**changes: object) -> WorkloadContext:
    facts = {"tokenizer": BPE, "token_ids": True, "chat": False, **changes}
    return WorkloadContext(**facts)


def _turns(
    seed: int = 0, count: int = 20, context: WorkloadContext | None = None, **options: object
) -> list[Any]:
    (spec,) = bench_register_workloads()
    workload = spec.factory(RandomOptions(**options), PluginContext())
    sessions = workload.sessions(context or _context(), seed)
    return [s.next(None) for s in itertools.islice(sessions, count)]


def test_token_prompts_have_the_exact_length() -> None:
    """No special ids; exact outputs are requested."""
    for turn in _turns(input_tokens=33, output_tokens=7):
        assert isinstance(turn.prompt, TokenPrompt)
        assert len(turn.prompt.ids) == turn.n_in == 33
        assert not set(turn.prompt.ids) & BPE.special_ids
        assert (turn.max_tokens, turn.exact_output) == (7, True)


def test_lengths_are_uniform_integers_in_the_range() -> None:
    """In [0.8 L, L], including both ends, as in the InferenceX protocol."""
    turns = _turns(count=4000, input_tokens=20, output_tokens=10, input_range=0.8, output_range=0.8)
    assert {t.n_in for t in turns} == set(range(16, 21))
    assert {t.max_tokens for t in turns} == {8, 9, 10}
    share = sum(t.n_in == 16 for t in turns) / len(turns)
    assert 0.16 < share < 0.24


def test_prompts_are_deterministic_and_share_no_prefix() -> None:
    """Neither within a seed nor between seeds."""
    one, again, other = _turns(1), _turns(1), _turns(2)
    assert one == again
    starts = {turn.prompt.ids[:8] for turn in (*one, *other)}
    assert len(starts) == len(one) + len(other)


def test_prefix_tokens() -> None:
    """All prompts of a seed share the prefix; it counts towards the length."""
    turns = _turns(input_tokens=12, prefix_tokens=5)
    assert len({turn.prompt.ids[:5] for turn in turns}) == 1
    assert len({turn.prompt.ids[5:] for turn in turns}) == len(turns)
    assert [turn.shared_tokens for turn in turns] == [0] + [5] * (len(turns) - 1)
    assert {turn.shared_tokens for turn in _turns(input_tokens=12)} == {0}
    with pytest.raises(UsageError, match=r"prefix_tokens: expected less than input_tokens \(5\)"):
        _turns(input_tokens=5, prefix_tokens=5)


@settings(deadline=None, max_examples=40)
@given(length=st.integers(1, 300), seed=st.integers(0, 2**62), chat=st.booleans())
def test_text_prompts_have_the_exact_length(length: int, seed: int, chat: bool) -> None:
    """The encoded text has `n_in` tokens."""
    context = _context(token_ids=False, chat=chat)
    (turn,) = _turns(seed, 1, context, input_tokens=length)
    if chat:
        assert isinstance(turn.prompt, ChatPrompt)
        text = turn.prompt.messages[0].content
    else:
        assert isinstance(turn.prompt, TextPrompt)
        text = turn.prompt.text
    assert turn.n_in == length
    assert len(BPE.encode(text)) == length


@pytest.mark.parametrize("chat", [True, False])
def test_fitted_words_make_text_of_the_asked_length(chat: bool) -> None:
    """Without a tokenizer; a prefix counts towards the length."""
    words = FrozenMap({"a": 1, "cat": 1, "water": 2, "engine": 3})
    fitted = FittedWords(words=words, starts=("a", "water"), overhead=9, source="probes")
    context = _context(tokenizer=None, chat=chat, fitted=fitted)
    turns = _turns(3, 50, context, input_tokens=40, input_range=0.5, prefix_tokens=6)
    for turn in turns:
        assert isinstance(turn.prompt, ChatPrompt if chat else TextPrompt)
        text = turn.prompt.messages[0].content if chat else turn.prompt.text
        assert sum(words[word] for word in text.split(" ")) == turn.n_in
    assert len({turn.prompt for turn in turns}) == 50


def test_without_tokenizer_and_fitted_words_lengths_are_estimates() -> None:
    """`n_in` is the asked length all the same, so that the server's usage is compared with it."""
    (turn,) = _turns(0, 1, _context(tokenizer=None), input_tokens=50)
    assert turn.n_in == 50
    assert len(turn.prompt.text.split()) == 50


def test_sessions_can_be_pickled() -> None:
    """They are sent to load workers."""
    (spec,) = bench_register_workloads()
    sessions = spec.factory(RandomOptions(input_tokens=4), PluginContext()).sessions(_context(), 0)
    first = next(sessions)
    assert pickle.loads(pickle.dumps(first)) == first


def test_invalid_options_are_rejected() -> None:
    """Ranges above 1, and token ids for a server without them."""
    with pytest.raises(ValueError, match="input_range: expected at most 1"):
        _turns(input_range=1.5)
    with pytest.raises(UsageError, match="format=tokens"):
        _turns(context=_context(token_ids=False), format="tokens")


@pytest.mark.parametrize(
    ("preset", "lengths"),
    [("chat", (1024, 1024)), ("reasoning", (1024, 8192)), ("summarisation", (8192, 1024))],
)
def test_presets(preset: str, lengths: tuple[int, int]) -> None:
    """They set both lengths, and refuse others beside them."""
    options = RandomOptions(preset=preset)
    assert (options.input_tokens, options.output_tokens) == lengths
    with pytest.raises(ValueError, match="remove one of them"):
        RandomOptions(preset=preset, input_tokens=77)
