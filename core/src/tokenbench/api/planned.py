"""Sessions whose turns are known beforehand: a graph of turns, with prompts composed of pieces."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import cast

import attrs

from .vocabulary import Piece, Vocabulary
from .workload import Session, Turn, TurnResult


@attrs.frozen
class Block:
    """A piece of a prompt by its key. `common`: other sessions of the stream have the same one."""

    key: str | int
    tokens: int
    common: bool = False


@attrs.frozen(kw_only=True)
class PlannedTurn:
    """A turn before it is made. `parents`: indices of earlier turns of the plan; the other fields
    are those of :class:`Turn`.
    """

    blocks: tuple[Block, ...]
    max_tokens: int
    parents: tuple[int, ...] = ()
    delay_s: float = 0.0
    label: str | None = None
    agent: int = 0

    @property
    def n_in(self) -> int:
        """Tokens of the prompt."""
        return sum(block.tokens for block in self.blocks)


class PlannedSession(Session):
    """Sends the turns of a plan, each as soon as its parents have ended.

    Prompts are made when they are due, so that a session is small until then. Turns that begin with
    the same blocks have the same first tokens. If a turn fails, those that wait for it, directly or
    not, fail with it.

    Args:
        plan: at least one turn; parents come before their children.
        key: what the content of the session's own blocks depends on; unique in the stream.
        common_key: the same for common blocks, one for the whole stream.
        held: which common blocks a prefix cache without limit would hold before this session.
        affinity: the affinity key of each turn.
    """

    def __init__(
        self,
        *,
        vocabulary: Vocabulary,
        plan: tuple[PlannedTurn, ...],
        key: str,
        common_key: str,
        held: frozenset[str | int] = frozenset(),
        affinity: str | None = None,
    ) -> None:
        self.vocabulary, self.plan = vocabulary, plan
        self.key, self.common_key = key, common_key
        self.held, self.affinity = held, affinity
        # Numbers of the turns returned so far, by their index in the plan, and the reverse.
        self._numbers: dict[int, int] = {}
        self._indices: list[int] = []
        # Parents that have not ended, and children, of each turn of the plan.
        self._missing: dict[int, int] | None = None
        self._children: dict[int, list[int]] = {}
        # The most tokens that were sent of each block, and the last prompt of each agent.
        self._seen: dict[Block, int] = {}
        self._made: dict[int, tuple[tuple[Block, ...], Piece]] = {}

    def next(self, previous: TurnResult | None) -> tuple[Turn, ...]:
        """The turns whose last parent ended."""
        if self._missing is None:
            self._prepare()
        if previous is None:
            return self._turns(i for i, turn in enumerate(self.plan) if not turn.parents)
        ended = self._indices[previous.number]
        ready = []
        assert self._missing is not None
        for child in self._children.get(ended, ()):
            self._missing[child] -= 1
            if not self._missing[child]:
                ready.append(child)
        if not ready:
            self._made.pop(self.plan[ended].agent, None)
        return self._turns(ready)

    def _prepare(self) -> None:
        self._missing = {}
        for index, turn in enumerate(self.plan):
            parents = set(turn.parents)
            self._missing[index] = len(parents)
            for parent in parents:
                self._children.setdefault(parent, []).append(index)

    def _turns(self, indices: Iterable[int]) -> tuple[Turn, ...]:
        return tuple(self._turn(index) for index in indices)

    def _turn(self, index: int) -> Turn:
        planned = self.plan[index]
        self._numbers[index] = len(self._indices)
        self._indices.append(index)
        return Turn(
            prompt=self.vocabulary.prompt([self._content(planned)]),
            n_in=planned.n_in,
            max_tokens=planned.max_tokens,
            exact_output=True,
            delay_s=planned.delay_s,
            parents=tuple(self._numbers[parent] for parent in planned.parents),
            label=planned.label,
            agent=planned.agent,
            shared_tokens=self._shared(planned.blocks),
            affinity=self.affinity,
        )

    def _shared(self, blocks: tuple[Block, ...]) -> int:
        """Tokens of the leading blocks that were sent before. Notes that these are sent now."""
        shared, all_seen = 0, True
        for block in blocks:
            name = attrs.evolve(block, tokens=0)
            seen = self._seen.get(name, 0)
            if block.common and block.key in self.held:
                seen = block.tokens
            if all_seen:
                shared += min(seen, block.tokens)
                all_seen = seen >= block.tokens
            self._seen[name] = max(seen, block.tokens)
        return shared

    def _content(self, planned: PlannedTurn) -> Piece:
        """The whole prompt. Reuses the agent's previous prompt if this one begins with it."""
        before, made = self._made.get(planned.agent, ((), None))
        if made is None or planned.blocks[: len(before)] != before:
            before, made = (), self._piece(planned.blocks[0], first=True)
            more = planned.blocks[1:]
        else:
            more = planned.blocks[len(before) :]
        pieces = [made, *(self._piece(block) for block in more)]
        if isinstance(made, str):
            whole: Piece = "".join(piece for piece in pieces if isinstance(piece, str))
        else:
            whole = tuple(itertools.chain.from_iterable(cast("list[tuple[int, ...]]", pieces)))
        self._made[planned.agent] = (planned.blocks, whole)
        return whole

    def _piece(self, block: Block, *, first: bool = False) -> Piece:
        key = f"{self.common_key if block.common else self.key}:{block.key}"
        return self.vocabulary.piece(key, block.tokens, first=first)
