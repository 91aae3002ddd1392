"""Draws each session from one of several workloads, and labels its turns with the part's name."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs

from tokenbench.api import (
    Session,
    SingleTurn,
    Turn,
    TurnResult,
    Workload,
    WorkloadContext,
)

if TYPE_CHECKING:
    from .plugin import Part


class MixtureWorkload(Workload):
    """Sessions of all parts, in random order by their shares."""

    def __init__(self, parts: tuple[Part, ...], workloads: tuple[Workload, ...]) -> None:
        self._parts = tuple(zip(parts, workloads, strict=True))

    def context_tokens(self) -> int | None:
        """The largest of the parts; None if any is unknown."""
        needed = [workload.context_tokens() for _, workload in self._parts]
        known = [tokens for tokens in needed if tokens is not None]
        return max(known) if len(known) == len(needed) else None

    def dataset_hash(self) -> str | None:
        """Of the parts' data sets; None if none has one."""
        hashes = [workload.dataset_hash() for _, workload in self._parts]
        if not any(hashes):
            return None
        return hashlib.sha256("\n".join(text or "" for text in hashes).encode()).hexdigest()

    def sessions(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        """A stream as long as its shortest part. Each part has a seed of its own."""
        draw = random.Random(seed)
        weights = [part.share for part, _ in self._parts]
        streams = [
            (part, iter(workload.sessions(context, draw.getrandbits(62))))
            for part, workload in self._parts
        ]
        while True:
            part, stream = draw.choices(streams, weights)[0]
            session = next(stream, None)
            if session is None:
                return
            wrapped = PartSession(inner=session, label=part.name, model=part.model)
            # A session of one turn is encoded ahead, like that of its workload.
            yield SingleTurn(wrapped.next(None)[0]) if session.one_turn else wrapped


@attrs.define(kw_only=True)
class PartSession(Session):
    """A session of a part, whose name replaces the labels of its workload."""

    inner: Session
    label: str
    model: str | None

    def next(self, previous: TurnResult | None) -> tuple[Turn, ...]:
        """The turns of the inner session."""
        found = self.inner.next(previous)
        turns = (found,) if isinstance(found, Turn) else found or ()
        return tuple(_labelled(turn, self.label, self.model) for turn in turns)


def _labelled(turn: Turn, label: str, model: str | None) -> Turn:
    return attrs.evolve(turn, label=label, model=model if model is not None else turn.model)
