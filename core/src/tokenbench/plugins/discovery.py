"""What is installed, from distribution metadata alone: nothing of a plugin is imported."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterable

import attrs

from .kinds import BY_GROUP

ALLOW_VARIABLE = "TOKENBENCH_PLUGINS"


@attrs.frozen(kw_only=True)
class Candidate:
    """An entry point that says it is a plugin."""

    kind: str
    name: str
    distribution: str
    version: str
    module: str


def discover(*, without: Iterable[str] = ()) -> tuple[Candidate, ...]:
    """All candidates, sorted by kind and name.

    `without` leaves out names; the environment variable ``TOKENBENCH_PLUGINS``, where set, is a
    comma-separated list of the only names allowed.
    """
    only = os.environ.get(ALLOW_VARIABLE)
    allowed = None if only is None else {name.strip() for name in only.split(",")}
    left_out = set(without)
    found: set[Candidate] = set()
    entries = importlib.metadata.entry_points()
    for group, kind in BY_GROUP.items():
        for entry in entries.select(group=group):
            if entry.name in left_out or (allowed is not None and entry.name not in allowed):
                continue
            dist = entry.dist
            found.add(
                Candidate(
                    kind=kind.name,
                    name=entry.name,
                    distribution=dist.name if dist is not None else "unknown",
                    version=dist.version if dist is not None else "unknown",
                    module=entry.value,
                )
            )
    return tuple(sorted(found, key=lambda c: (c.kind, c.name, c.distribution)))
