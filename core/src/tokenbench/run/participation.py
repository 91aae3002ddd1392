"""Checks by counters whether prefill and decode both took part in a request."""

from __future__ import annotations

from tokenbench.api import DECODE, PREFILL, Counters

from .scrape import Scrape

_RISE = ("requests", "prompt_tokens", "generated_tokens")


def idle_roles(before: Scrape, after: Scrape) -> tuple[str, ...]:
    """The roles whose counters did not rise between two scrapes. A role without counters is not
    among them: it may have taken part.
    """
    earlier = {process.endpoint: process.counters for process in before.processes}
    idle = []
    for role in (PREFILL, DECODE):
        rises = [
            rise
            for process in after.processes
            if process.role == role and process.endpoint in earlier
            for rise in _rises(earlier[process.endpoint], process.counters)
        ]
        if rises and not any(rises):
            idle.append(role)
    return tuple(idle)


def _rises(before: Counters, after: Counters) -> list[float]:
    """How much each counter rose. A counter may be absent before its first event."""
    return [
        value - (getattr(before, name) or 0.0)
        for name in _RISE
        if (value := getattr(after, name)) is not None
    ]
