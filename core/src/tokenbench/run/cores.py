"""Which CPU cores the engine gets, and which the load generator."""

from __future__ import annotations

import os

import attrs


@attrs.frozen(kw_only=True)
class Cores:
    """Disjoint sets of core numbers; `shared` where one core must serve both."""

    engine: tuple[int, ...]
    client: tuple[int, ...]
    shared: bool = False


def split(available: tuple[int, ...] | None = None) -> Cores:
    """The last core for the client, the others for the engine.

    One core drives tens of thousands of tokens a second, more than an engine on this machine makes;
    it also carries the display and the telemetry agent.
    """
    cores = tuple(sorted(os.sched_getaffinity(0))) if available is None else available
    if len(cores) < 2:
        return Cores(engine=cores, client=cores, shared=True)
    return Cores(engine=cores[:-1], client=cores[-1:])
