"""The workload `agentic`: the conformance kit, and the shape of its sessions."""

from __future__ import annotations

import itertools
import random
from typing import Any

import attrs
import pytest
from tokenbench_workload_agentic.plugin import AgenticOptions
from tokenbench_workload_agentic.workload import AgenticWorkload, from_middle

from tokenbench.api import (
    FrozenMap,
    PlannedSession,
    PlannedTurn,
    TokenPrompt,
    Turn,
    TurnResult,
    UsageError,
    WorkloadContext,
)
from tokenbench_testing import WorkloadKit
from tokenbench_testing.samples.prompts import SampleTokenizer, play

IDS = WorkloadContext(tokenizer=SampleTokenizer(), token_ids=True, chat=False)
SMALL = {
    "system_tokens": 40, "task_tokens": 10, "turns": 6, "answer_tokens": 4, "tool_tokens": 12,
    "subagent_turns": 2,
}  # fmt: skip


class TestAgentic(WorkloadKit):
    """Small agents with sub-agents, some of them in the background."""

    name = "agentic"
    options = FrozenMap(**SMALL, background=1)


def _sessions(count: int, context: WorkloadContext = IDS, **more: Any) -> list[PlannedSession]:
    workload = AgenticWorkload(AgenticOptions(**{**SMALL, **more}))
    found = list(itertools.islice(workload.sessions(context, 3), count))
    return [session for session in found if isinstance(session, PlannedSession)]


def _ids(turn: Turn) -> tuple[int, ...]:
    assert isinstance(turn.prompt, TokenPrompt)
    return turn.prompt.ids


def test_contexts_grow_over_a_shared_system_prompt() -> None:
    """Each prompt of an agent begins with the one before; all begin with the system prompt."""
    played = [play(session).turns for session in _sessions(3, background=1)]
    systems = {_ids(turn)[:40] for turns in played for turn in turns}
    assert len(systems) == 1
    for turns in played:
        for agent in {turn.agent for turn in turns}:
            own = [_ids(turn) for turn in turns if turn.agent == agent]
            for one, other in itertools.pairwise(own):
                assert len(other) > len(one) and other[: len(one)] == one
    assert {turn.label for turns in played for turn in turns} == {"agent", "subagent", "background"}


def test_shared_tokens_are_what_an_unlimited_cache_has() -> None:
    """Compared token by token with all prompts sent before, over several sessions."""
    seen: list[tuple[int, ...]] = []
    for session in _sessions(3, forks=2):
        for turn in play(session).turns:
            ids = _ids(turn)
            longest = max((_common(ids, other) for other in seen), default=0)
            assert turn.shared_tokens is not None
            assert turn.shared_tokens <= longest <= turn.shared_tokens + 1
            assert turn.n_in == len(ids)
            seen.append(ids)


def _common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def test_the_agent_waits_for_its_subagents() -> None:
    """The turn after a fork has the last turn of each sub-agent as parents; nothing waits for those
    in the background.
    """
    for session in _sessions(20, subagents=3, background=2):
        parents = {p for turn in session.plan for p in turn.parents}
        joins = [turn for turn in session.plan if len(turn.parents) == 3]
        assert len(joins) == (len([t for t in session.plan if t.agent == 0]) > 1)
        for join in joins:
            assert {session.plan[p].label for p in join.parents} == {"subagent"}
        last = [n for n, turn in enumerate(session.plan) if turn.label == "background"]
        ends = [n for n in last if n not in parents]
        assert len(ends) == 2


def test_a_lost_child_ends_the_session() -> None:
    """The turn that waits for it is returned, so core counts it as failed, and all after it."""
    session = next(
        session
        for session in _sessions(30, subagents=2)
        if any(len(turn.parents) == 2 for turn in session.plan)
    )
    lost = next(n for n, turn in enumerate(session.plan) if turn.label == "subagent")
    played = play(session, fails=lambda number: session._indices[number] == lost)
    assert played.over
    assert len(played.turns) == len(session.plan)


@pytest.mark.parametrize("overflow", ["compact", "send"])
def test_a_context_over_the_limit(overflow: str) -> None:
    """Compaction keeps the system prompt and the last result; otherwise the prompt is too long."""
    context = attrs.evolve(IDS, context_tokens=64 + 120)
    for session in _sessions(5, context, turns=12, forks=0, overflow=overflow):
        sizes = [turn.n_in + turn.max_tokens for turn in session.plan]
        compacted = [
            n
            for n, (one, other) in enumerate(itertools.pairwise(session.plan), 1)
            if other.blocks[: len(one.blocks)] != one.blocks
        ]
        if overflow == "send":
            assert max(sizes) > 120 and not compacted
            continue
        assert max(sizes) <= 120 and compacted
        turn = session.plan[compacted[0]]
        assert [str(block.key).split("-")[0] for block in turn.blocks] == [
            "system", "summary", "result",
        ]  # fmt: skip


def test_tool_time_is_capped() -> None:
    """Exponential with the mean given, at most the cap."""
    plans = [session.plan for session in _sessions(40, tool_s=5.0, idle_cap_s=6.0, forks=0)]
    waits = [turn.delay_s for plan in plans for turn in plan[1:]]
    assert max(waits) == 6.0
    assert 2.0 < sum(waits) / len(waits) < 5.0


def test_sessions_that_begin_inside() -> None:
    """They begin with a longer context, at once; the others from their start."""
    context = attrs.evolve(IDS, begin_inside=10)
    found = _sessions(20, context)
    first = [session.plan[0] for session in found]
    assert all(not turn.parents and turn.delay_s == 0 and turn.agent == 0 for turn in first)
    assert max(turn.n_in for turn in first[:10]) > 50
    assert {turn.n_in for turn in first[10:]} <= set(range(44, 57))


def test_the_middle_of_a_plan_has_no_dangling_parents() -> None:
    """Whatever is drawn, parents are earlier turns of what is left."""
    for seed, session in enumerate(_sessions(30, forks=2, background=1)):
        plan = from_middle(session.plan, random.Random(seed))
        for number, turn in enumerate(plan):
            assert all(0 <= parent < number for parent in turn.parents)
            assert bool(turn.parents) is (number > 0)


def test_a_planned_session_forgets_prompts_of_agents_that_ended() -> None:
    """Otherwise a long session would keep each of its contexts."""
    plan = tuple(
        PlannedTurn(blocks=session_blocks, max_tokens=1, parents=(0,) if agent else (), agent=agent)
        for agent, session_blocks in enumerate([_sessions(1)[0].plan[0].blocks] * 4)
    )
    vocabulary = _sessions(1)[0].vocabulary
    session = PlannedSession(vocabulary=vocabulary, plan=plan, key="a", common_key="b")
    session.next(None)
    turns = session.next(TurnResult(number=0, ok=True, text=""))
    assert len(turns) == 3 and len(session._made) == 4
    for number in (1, 2, 3):
        session.next(TurnResult(number=number, ok=True, text=""))
    assert set(session._made) == {0}


def test_sessions_with_salt_share_nothing() -> None:
    """Each has a system prompt of its own, which its agents share; nothing can be primed."""
    played = [play(session).turns for session in _sessions(3, salt="session")]
    systems = [{_ids(turn)[:40] for turn in turns} for turns in played]
    assert [len(found) for found in systems] == [1, 1, 1]
    assert len(set.union(*systems)) == 3
    assert [turns[0].shared_tokens for turns in played] == [0, 0, 0]
    assert all(turn.shared_tokens for turns in played for turn in turns[1:])
    workload = AgenticWorkload(AgenticOptions(**SMALL, salt="session"))
    with pytest.raises(UsageError, match="salt=session"):
        next(workload.priming(IDS, 3))
