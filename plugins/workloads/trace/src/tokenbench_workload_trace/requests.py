"""Requests of a trace, independent of its format."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class TraceRequest:
    """One request. `blocks`: ids of the blocks of its prompt; equal ids are equal tokens after
    equal tokens. `parents`: indices of earlier requests of its session; `delay_s`: pause after
    them.
    """

    n_in: int
    n_out: int
    blocks: tuple[int, ...] = ()
    parents: tuple[int, ...] = ()
    delay_s: float = 0.0
    label: str | None = None
    agent: int = 0


@attrs.frozen(kw_only=True)
class TraceSession:
    """Requests of one session; a plain request is a session of one. `at_s`: its start.
    `own_blocks`: block ids are valid only within this session.
    """

    at_s: float
    requests: tuple[TraceRequest, ...]
    own_blocks: bool = False


@attrs.frozen(kw_only=True)
class Trace:
    """A whole trace, in the order of time."""

    block_tokens: int
    sessions: tuple[TraceSession, ...]
