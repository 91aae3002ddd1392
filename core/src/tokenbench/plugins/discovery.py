"""What is installed, from distribution metadata alone: nothing of a plugin is imported."""

from __future__ import annotations

import importlib.metadata
import os
import re
from collections.abc import Iterable

import attrs

from .kinds import BY_GROUP

ALLOW_VARIABLE = "TOKENBENCH_PLUGINS"
CORE = "tokenbench"
API_GROUP = "tokenbench.api"
_NAMED = re.compile(r"^(Name|Version):[ \t]*(.*?)[ \t]*$", re.MULTILINE)


@attrs.frozen(kw_only=True)
class Candidate:
    """An entry point that says it is a plugin. `api` is the API version its distribution was
    written for, as text; None where it does not say, all of them where it says several.
    """

    kind: str
    name: str
    distribution: str
    version: str
    module: str
    api: str | None = None

    @property
    def key(self) -> str:
        """``DIST/NAME``: names it whatever else is installed."""
        return f"{self.distribution}/{self.name}"


def discover(*, without: Iterable[str] = ()) -> tuple[Candidate, ...]:
    """All candidates, sorted by kind and name.

    `without` leaves out names; the environment variable ``TOKENBENCH_PLUGINS``, where set, is a
    comma-separated list of the only names allowed besides the core's own.
    """
    only = os.environ.get(ALLOW_VARIABLE)
    allowed = None if only is None else {name.strip() for name in only.split(",")}
    left_out = set(without)
    entries = _entry_points()
    facts = _Distributions(entries.select(group=API_GROUP))
    found: set[Candidate] = set()
    for group, kind in BY_GROUP.items():
        for entry in entries.select(group=group):
            distribution, version, api = facts.of(entry)
            if entry.name in left_out:
                continue
            if allowed is not None and entry.name not in allowed and distribution != CORE:
                continue
            found.add(
                Candidate(
                    kind=kind.name,
                    name=entry.name,
                    distribution=distribution,
                    version=version,
                    module=entry.value,
                    api=api,
                )
            )
    return tuple(sorted(found, key=lambda c: (c.kind, c.name, c.distribution)))


def _entry_points() -> importlib.metadata.EntryPoints:
    """Of every distribution that can be read: one that is damaged takes no other with it."""
    found: dict[str, list[importlib.metadata.EntryPoint]] = {}
    for dist in importlib.metadata.distributions():
        try:
            name, _ = _named(dist)
            ours = CORE in (dist.read_text("entry_points.txt") or "")
            # The first on the path is the one that is imported.
            found.setdefault(name.lower(), list(dist.entry_points) if ours else [])
        except Exception:  # noqa: S112 - whatever its files hold
            continue
    return importlib.metadata.EntryPoints(entry for own in found.values() for entry in own)


def _named(dist: importlib.metadata.Distribution) -> tuple[str, str]:
    """Name and version, empty where a half-removed distribution does not tell. From the first lines
    of its metadata: of all that is installed, to parse them whole takes as long as the rest of a
    plan.
    """
    text = dist.read_text("METADATA") or dist.read_text("PKG-INFO") or dist.read_text("") or ""
    head = dict(_NAMED.findall(text.partition("\n\n")[0]))
    return head.get("Name", ""), head.get("Version", "")


class _Distributions:
    """Name, version and API version of each distribution; metadata is read once."""

    def __init__(self, api_entries: Iterable[importlib.metadata.EntryPoint]) -> None:
        self._known: dict[int, tuple[str, str]] = {}
        said: dict[str, list[str]] = {}
        for entry in api_entries:
            said.setdefault(self._name(entry)[0], []).append(entry.name)
        self._api = {name: ", ".join(versions) for name, versions in said.items()}

    def of(self, entry: importlib.metadata.EntryPoint) -> tuple[str, str, str | None]:
        name, version = self._name(entry)
        return name, version, self._api.get(name)

    def _name(self, entry: importlib.metadata.EntryPoint) -> tuple[str, str]:
        dist = entry.dist
        if dist is None:
            return "unknown", "unknown"
        if id(dist) not in self._known:
            name, version = _named(dist)
            self._known[id(dist)] = (name or "unknown", version or "unknown")
        return self._known[id(dist)]
