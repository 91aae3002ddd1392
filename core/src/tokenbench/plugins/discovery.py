"""Discovery: finds installed plugins from distribution metadata, without importing them."""

from __future__ import annotations

import difflib
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
    """An entry point in one of tokenbench's groups. `api` is the API version its distribution
    declares; None if it declares none, a comma-separated list if it declares several.
    """

    kind: str
    name: str
    distribution: str
    version: str
    module: str
    api: str | None = None

    @property
    def key(self) -> str:
        """``DIST/NAME``: unique among all installed plugins."""
        return f"{self.distribution}/{self.name}"


def discover(*, without: Iterable[str] = ()) -> tuple[Candidate, ...]:
    """All candidates, sorted by kind and name.

    `without` excludes names. If the environment variable ``TOKENBENCH_PLUGINS`` is set, only the
    names in its comma-separated list and core's own plugins are found.
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


@attrs.frozen(kw_only=True)
class Misplaced:
    """An entry point that no list of plugins shows, because its group does not exist.

    `meant`: the group that its author probably meant.
    """

    group: str
    name: str
    distribution: str
    version: str
    meant: str | None

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"the entry-point group {self.group!r} does not exist, so {self.name!r} is not found"

    @property
    def hint(self) -> str:
        """What its author should do."""
        if self.meant is None:
            return f"groups: {', '.join(BY_GROUP)}"
        return f"its author probably meant {self.meant!r}"


def misplaced() -> tuple[Misplaced, ...]:
    """Entry points in groups with names like tokenbench's, sorted by distribution and name."""
    known = (*BY_GROUP, API_GROUP)
    entries = _entry_points()
    facts = _Distributions(())
    found = []
    for entry in entries:
        close = difflib.get_close_matches(entry.group, known, n=1, cutoff=0.8)
        if entry.group in known or not (close or entry.group.startswith(f"{CORE}.")):
            continue
        distribution, version, _ = facts.of(entry)
        found.append(
            Misplaced(
                group=entry.group,
                name=entry.name,
                distribution=distribution,
                version=version,
                meant=close[0] if close else None,
            )
        )
    return tuple(sorted(found, key=lambda m: (m.distribution, m.name)))


def _entry_points() -> importlib.metadata.EntryPoints:
    """Entry points of every readable distribution. A damaged one does not hide the others."""
    found: dict[str, list[importlib.metadata.EntryPoint]] = {}
    for dist in importlib.metadata.distributions():
        try:
            name, _ = _named(dist)
            ours = CORE in (dist.read_text("entry_points.txt") or "")
            # Of two with the same name, Python imports from the first on the path.
            found.setdefault(name.lower(), list(dist.entry_points) if ours else [])
        except Exception:  # noqa: S112 - a damaged distribution may raise anything
            continue
    return importlib.metadata.EntryPoints(entry for own in found.values() for entry in own)


def _named(dist: importlib.metadata.Distribution) -> tuple[str, str]:
    """Name and version, empty if a half-removed distribution has none. Only the head of the
    metadata is parsed: parsing all of it, for every installed distribution, would take as long as a
    plan.
    """
    text = dist.read_text("METADATA") or dist.read_text("PKG-INFO") or dist.read_text("") or ""
    head = dict(_NAMED.findall(text.partition("\n\n")[0]))
    return head.get("Name", ""), head.get("Version", "")


class _Distributions:
    """Name, version and API version of each distribution. Metadata is read once."""

    def __init__(self, api_entries: Iterable[importlib.metadata.EntryPoint]) -> None:
        self._known: dict[int, tuple[str, str]] = {}
        declared: dict[str, list[str]] = {}
        for entry in api_entries:
            declared.setdefault(self._name(entry)[0], []).append(entry.name)
        self._api = {name: ", ".join(versions) for name, versions in declared.items()}

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
