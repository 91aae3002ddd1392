"""Which prompts share what, by themselves and as a cache without limit would see it."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import attrs
import pytest
from tokenbench_workload_prefix.plugin import PrefixOptions
from tokenbench_workload_prefix.workload import PrefixWorkload

from tokenbench.api import SingleTurn, TokenPrompt, Turn, UsageError, WorkloadContext
from tokenbench_testing.samples.prompts import SampleTokenizer

IDS = WorkloadContext(tokenizer=SampleTokenizer(), token_ids=True, chat=False)


def _turns(count: int, *, primed: bool = False, seed: int = 1, **options: Any) -> list[Turn]:
    workload = PrefixWorkload(PrefixOptions(**options))
    context = attrs.evolve(IDS, primed=primed)
    found = list(itertools.islice(workload.sessions(context, seed), count))
    assert all(isinstance(session, SingleTurn) for session in found)
    return [session.turn for session in found if isinstance(session, SingleTurn)]


def _ids(turn: Turn) -> tuple[int, ...]:
    assert isinstance(turn.prompt, TokenPrompt)
    return turn.prompt.ids


def test_shared_tokens_are_what_an_unlimited_cache_has() -> None:
    """Compared token by token with all earlier prompts."""
    turns = _turns(60, groups=4, prefix_tokens=20, suffix_tokens=10, output_tokens=2, zipf=1.0)
    seen: list[tuple[int, ...]] = []
    for turn in turns:
        ids = _ids(turn)
        longest = max((_common(ids, other) for other in seen), default=0)
        # A random token after the prefix may agree by chance.
        assert turn.shared_tokens is not None
        assert turn.shared_tokens <= longest <= turn.shared_tokens + 1
        assert len(ids) == turn.n_in == 30
        seen.append(ids)


def _common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), len(one))


def test_one_group_after_the_other() -> None:
    """Two prompts of each of three groups, then from the beginning."""
    turns = _turns(8, groups=3, prompts=2, order="grouped", prefix_tokens=8, suffix_tokens=4)
    assert [turn.affinity for turn in turns] == [f"group-{n}" for n in (0, 0, 1, 1, 2, 2, 0, 0)]
    assert [turn.shared_tokens for turn in turns] == [0, 8, 0, 8, 0, 8, 8, 8]


def test_zipf() -> None:
    """With exponent 1, the first of ten groups has 34 % of the prompts, the last 3 %."""
    turns = _turns(5000, groups=10, zipf=1.0, prefix_tokens=2, suffix_tokens=1)
    counts = Counter(turn.affinity for turn in turns)
    total = sum(1 / n for n in range(1, 11))
    assert counts["group-0"] / 5000 == pytest.approx(1 / total, abs=0.03)
    assert counts["group-9"] / 5000 == pytest.approx(0.1 / total, abs=0.015)


def test_priming_sends_each_prefix_once() -> None:
    """They are the prefixes of the same seed; then every prompt shares its prefix."""
    options = PrefixOptions(groups=3, prefix_tokens=16, suffix_tokens=4)
    primed = [s.turn for s in PrefixWorkload(options).priming(IDS, 5) if isinstance(s, SingleTurn)]
    assert [len(_ids(turn)) for turn in primed] == [16] * 3
    turns = _turns(30, primed=True, seed=5, groups=3, prefix_tokens=16, suffix_tokens=4)
    assert {_ids(turn)[:16] for turn in turns} == {_ids(turn) for turn in primed}
    assert {turn.shared_tokens for turn in turns} == {16}


def test_zipf_needs_mixed_groups() -> None:
    """Nothing would use it."""
    with pytest.raises((ValueError, UsageError), match="zipf needs order=mixed"):
        PrefixOptions(zipf=1.0, order="grouped")
