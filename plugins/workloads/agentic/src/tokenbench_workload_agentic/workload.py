"""Agents: a growing context over a shared system prompt, tools, sub-agents, compaction."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs

from tokenbench.api import (
    Block,
    PlannedSession,
    PlannedTurn,
    Session,
    SingleTurn,
    Turn,
    UsageError,
    Vocabulary,
    Workload,
    WorkloadContext,
)

if TYPE_CHECKING:
    from .plugin import AgenticOptions

_SYSTEM = "system"
ROOT, SUBAGENT, BACKGROUND = "agent", "subagent", "background"
"""Labels of turns."""
# Space for a chat template, which is part of the server's context.
_TEMPLATE_TOKENS = 64


class AgenticWorkload(Workload):
    """Sessions of one agent each, drawn from the options."""

    def __init__(self, options: AgenticOptions) -> None:
        self._options = options

    def sessions(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        """Endless. The system prompt is the same in all sessions of a seed."""
        vocabulary = Vocabulary.of(context)
        draw = random.Random(seed)
        held = frozenset({_SYSTEM})
        alone = self._options.salt == "session"
        number = 0
        while True:
            plan = _Plan(self._options, draw, context.context_tokens).turns()
            if number < context.begin_inside:
                plan = from_middle(plan, draw)
            yield PlannedSession(
                vocabulary=vocabulary,
                plan=plan,
                key=f"{seed}:{number}",
                common_key=f"{seed}:{number}" if alone else str(seed),
                held=held if (number or context.primed) and not alone else frozenset(),
                affinity=f"agent-{number}",
            )
            number += 1

    def priming(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        """The system prompt, if sessions share it."""
        if self._options.salt == "session":
            raise UsageError(
                "agentic: with salt=session, no shared prompt exists that could prime the cache",
                hint="remove load.prime_cache",
            )
        vocabulary = Vocabulary.of(context)
        tokens = self._options.system_tokens
        prompt = vocabulary.prompt([vocabulary.piece(f"{seed}:{_SYSTEM}", tokens, first=True)])
        yield SingleTurn(Turn(prompt=prompt, max_tokens=1))


class _Plan:
    """Draws the turns of one session."""

    def __init__(self, options: AgenticOptions, draw: random.Random, context: int | None) -> None:
        self._options, self._draw = options, draw
        limit = options.limit_tokens
        if limit is None and context is not None:
            limit = context - _TEMPLATE_TOKENS
        self._limit = limit
        self._turns: list[PlannedTurn] = []
        self._system = Block(_SYSTEM, options.system_tokens, common=True)
        self._keys = 0

    def turns(self) -> tuple[PlannedTurn, ...]:
        """The main agent's turns, with sub-agents between some of them."""
        options = self._options
        count = self._about(options.turns)
        # Sub-agents are started after these turns, spread over the session.
        after = {round((n + 1) * count / (options.forks + 1)) - 1 for n in range(options.forks)}
        blocks = [self._system, self._block("task", options.task_tokens)]
        parents: tuple[int, ...] = ()
        for number in range(count):
            n_out = self._about(options.answer_tokens)
            blocks = self._fitting(blocks, n_out)
            delay_s = self._tool_s() if parents else 0.0
            me = self._add(blocks, n_out, parents, delay_s, ROOT, 0)
            blocks = [*blocks, self._block("answer", n_out), self._result()]
            parents = (me,)
            if number == 0:
                for _ in range(options.background):
                    self._subagent(me, BACKGROUND)
            if number in after and number + 1 < count:
                parents = tuple(self._subagent(me, SUBAGENT) for _ in range(options.subagents))
        return tuple(self._turns)

    def _subagent(self, parent: int, label: str) -> int:
        """A sub-agent with a context of its own; returns its last turn."""
        options = self._options
        agent = max((turn.agent for turn in self._turns), default=0) + 1
        blocks = [self._system, self._block("subtask", options.task_tokens)]
        last, delay_s = parent, 0.0
        for _ in range(self._about(options.subagent_turns)):
            n_out = self._about(options.answer_tokens)
            blocks = self._fitting(blocks, n_out)
            last = self._add(blocks, n_out, (last,), delay_s, label, agent)
            blocks = [*blocks, self._block("answer", n_out), self._result()]
            delay_s = self._tool_s()
        return last

    def _fitting(self, blocks: list[Block], n_out: int) -> list[Block]:
        """The context. If it is too long, a summary replaces everything except the system prompt
        and the last result.
        """
        needed = sum(block.tokens for block in blocks) + n_out
        if self._limit is None or needed <= self._limit or self._options.overflow == "send":
            return blocks
        left = self._limit - n_out - self._system.tokens - blocks[-1].tokens
        if left < 1:
            return blocks  # If even the summary does not fit, it is sent and overflows.
        summary = self._block("summary", min(self._options.task_tokens, left))
        return [self._system, summary, blocks[-1]]

    def _add(
        self,
        blocks: list[Block],
        n_out: int,
        parents: tuple[int, ...],
        delay_s: float,
        label: str,
        agent: int,
    ) -> int:
        self._turns.append(
            PlannedTurn(
                blocks=tuple(blocks),
                max_tokens=n_out,
                parents=parents,
                delay_s=delay_s,
                label=label,
                agent=agent,
            )
        )
        return len(self._turns) - 1

    def _result(self) -> Block:
        return self._block("result", self._about(self._options.tool_tokens))

    def _block(self, name: str, tokens: int) -> Block:
        self._keys += 1
        return Block(f"{name}-{self._keys}", tokens)

    def _about(self, mean: int) -> int:
        spread = self._options.spread
        return max(1, round(mean * self._draw.uniform(1.0 - spread, 1.0 + spread)))

    def _tool_s(self) -> float:
        mean_s = self._options.tool_s
        drawn_s = self._draw.expovariate(1.0 / mean_s) if mean_s else 0.0
        return min(self._options.idle_cap_s, drawn_s)


def from_middle(plan: tuple[PlannedTurn, ...], draw: random.Random) -> tuple[PlannedTurn, ...]:
    """The rest of a session from one of the main agent's turns, which begins immediately. Its
    context contains earlier results of sub-agents.
    """
    start = draw.choice([index for index, turn in enumerate(plan) if turn.agent == 0])
    # Omit sub-agents whose beginning was cut off.
    kept = [start]
    for index in range(start + 1, len(plan)):
        parents = plan[index].parents
        if all(parent in kept for parent in parents):
            kept.append(index)
    places = {old: new for new, old in enumerate(kept)}
    found = [
        attrs.evolve(plan[index], parents=tuple(places[parent] for parent in plan[index].parents))
        if index != start
        else attrs.evolve(plan[index], parents=(), delay_s=0.0)
        for index in kept
    ]
    return tuple(found)
