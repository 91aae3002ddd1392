"""Replays traces: their times, lengths and repeated blocks, with random content."""

from __future__ import annotations

import functools
import itertools
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from tokenbench.api import (
    Block,
    Piece,
    PlannedSession,
    PlannedTurn,
    Session,
    SingleTurn,
    Turn,
    UsageError,
    Vocabulary,
    Workload,
    WorkloadContext,
    data_files,
    data_hash,
)

from .formats import read_trace
from .requests import Trace, TraceRequest, TraceSession

if TYPE_CHECKING:
    from .plugin import TraceOptions

_SAMPLE = Path(__file__).parent / "sample.jsonl"
# Maximum size of chat templates in known models; used only to size the context.
_TEMPLATE_TOKENS = 64
# Blocks kept for the next prompts: 2048 of 512 tokens take 8 MiB.
_KEPT_BLOCKS = 2048


class TraceWorkload(Workload):
    """The sessions of a trace in order. At its end they repeat with other content."""

    def __init__(self, options: TraceOptions) -> None:
        self._options = options
        self._files = (
            data_files(options.file, where="trace: file", suffixes=(".jsonl", ".json", ".csv"))
            if options.file
            else (_SAMPLE,)
        )

    @functools.cached_property
    def _trace(self) -> Trace:
        options = self._options
        trace = read_trace(self._files, options.format, options.join)
        kept = [s for s in (_kept(one, options) for one in trace.sessions) if s is not None]
        if not kept:
            raise UsageError(
                "trace: the options skip every request",
                hint="raise most_tokens, or set without_output=one",
            )
        return attrs.evolve(trace, sessions=tuple(kept))

    def context_tokens(self) -> int:
        """The longest request, plus space for a chat template."""
        requests = (r for session in self._trace.sessions for r in session.requests)
        return max(r.n_in + r.n_out for r in requests) + _TEMPLATE_TOKENS

    def dataset_hash(self) -> str:
        """Hash of the trace's files."""
        return data_hash(self._files)

    def arrivals_s(self) -> tuple[float, ...]:
        """The beginnings of the sessions."""
        return tuple(session.at_s for session in self._trace.sessions)

    def sessions(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        """Endless. Each seed, and each pass through the trace, has other content."""
        vocabulary = Vocabulary.of(context)
        draw = random.Random(seed)
        number = 0
        for lap in itertools.count():
            common = f"{seed}:{lap}"
            blocks = _Blocks(vocabulary, common, self._trace.block_tokens)
            for index, session in enumerate(self._trace.sessions):
                requests = session.requests
                if len(requests) == 1 and not session.own_blocks:
                    yield SingleTurn(blocks.turn(index, requests[0]))
                    continue
                if number < context.begin_inside:
                    requests = _from_middle(requests, draw, self._options)
                yield PlannedSession(
                    vocabulary=vocabulary,
                    plan=_plan(requests, self._trace.block_tokens),
                    key=f"{common}:{index}",
                    common_key=common,
                    affinity=f"session-{number}",
                )
                number += 1


class _Blocks:
    """Prompts of single requests, and which of their blocks were sent before."""

    def __init__(self, vocabulary: Vocabulary, key: str, tokens: int) -> None:
        self._vocabulary, self._tokens = vocabulary, tokens
        self._key = key
        self._seen: set[int] = set()

        @functools.lru_cache(maxsize=_KEPT_BLOCKS)
        def whole(block: int, first: bool) -> Piece:
            return vocabulary.piece(f"{key}:{block}", tokens, first=first)

        self._whole = whole

    def turn(self, index: int, request: TraceRequest) -> Turn:
        """The request with the content of its blocks."""
        pieces: list[Piece] = []
        shared, all_seen = 0, True
        for block in block_list(request, self._tokens):
            first = not pieces
            if isinstance(block.key, int) and block.tokens == self._tokens:
                pieces.append(self._whole(block.key, first))
            else:
                key = block.key if isinstance(block.key, int) else f"{index}:{block.key}"
                piece = self._vocabulary.piece(f"{self._key}:{key}", block.tokens, first=first)
                pieces.append(piece)
            all_seen = all_seen and block.key in self._seen
            shared += block.tokens if all_seen else 0
        self._seen.update(request.blocks)
        return Turn(
            prompt=self._vocabulary.prompt(pieces),
            n_in=request.n_in,
            max_tokens=request.n_out,
            exact_output=True,
            label=request.label,
            shared_tokens=shared,
        )


def block_list(request: TraceRequest, tokens: int) -> list[Block]:
    """The blocks of a prompt: those with an id, the last of them cut to the prompt's length, and
    content of its own for the rest.
    """
    found, left = [], request.n_in
    for block in request.blocks:
        if left <= 0:
            break
        found.append(Block(block, min(tokens, left)))
        left -= tokens
    if left > 0:
        found.append(Block("own", left))
    return found


def _plan(requests: tuple[TraceRequest, ...], tokens: int) -> tuple[PlannedTurn, ...]:
    return tuple(
        PlannedTurn(
            blocks=tuple(
                Block(b.key if isinstance(b.key, int) else f"{index}:own", b.tokens)
                for b in block_list(request, tokens)
            ),
            max_tokens=request.n_out,
            parents=request.parents,
            delay_s=request.delay_s,
            label=request.label,
            agent=request.agent,
        )
        for index, request in enumerate(requests)
    )


def _from_middle(
    requests: tuple[TraceRequest, ...], draw: random.Random, options: TraceOptions
) -> tuple[TraceRequest, ...]:
    """The rest of a session from one of the main agent's requests, which begins immediately."""
    main = [index for index, request in enumerate(requests) if request.agent == 0]
    least = min(int(options.begin_least * len(main)), len(main) - 1)
    start = draw.choice(main[least : max(least + 1, math.ceil(options.begin_most * len(main)))])
    found = []
    for request in requests[start:]:
        kept = tuple(parent - start for parent in request.parents if parent >= start)
        found.append(attrs.evolve(request, parents=kept))
    found[0] = attrs.evolve(found[0], delay_s=0.0)
    return tuple(found)


def _kept(session: TraceSession, options: TraceOptions) -> TraceSession | None:
    """The session as the options want it; None: it is skipped."""
    # Skipping a request without output would lose the requests that wait for it.
    least = 1 if options.without_output == "one" or len(session.requests) > 1 else 0
    requests = tuple(
        attrs.evolve(
            request,
            n_out=max(request.n_out, least),
            delay_s=min(request.delay_s, options.idle_cap_s),
        )
        for request in session.requests
    )
    most = options.most_tokens
    for request in requests:
        if request.n_out < 1 or (most is not None and request.n_in + request.n_out > most):
            return None
    return attrs.evolve(session, requests=requests)
