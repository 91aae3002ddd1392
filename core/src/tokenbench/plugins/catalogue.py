"""The catalogues of all installed hardware plugins, searched by SKU."""

from __future__ import annotations

import collections
import difflib

import attrs

from tokenbench.api import BenchError, PluginError, Sku, UsageError
from tokenbench.suite.schema import PluginRef

from .discovery import Candidate
from .instances import PluginInstances
from .registry import PluginRegistry

_NEAR = 3


@attrs.frozen(kw_only=True)
class CatalogueEntry:
    """A SKU and the hardware plugin whose catalogue has it."""

    sku: Sku
    plugin: PluginRef
    distribution: str
    accelerated: bool

    def is_called(self, name: str) -> bool:
        """Whether `name` is its name, its label or a driver's name for it, in any case."""
        sku = self.sku
        return name.lower() in {sku.name.lower(), (sku.label or sku.name).lower(), *sku.aliases}


@attrs.frozen(kw_only=True)
class Catalogue:
    """All SKUs, by plugin and in the plugins' order.

    `unread` maps the hardware plugins whose catalogue could not be read to the reason.
    """

    entries: tuple[CatalogueEntry, ...]
    unread: dict[str, str]

    def find(self, name: str, distribution: str | None = None) -> CatalogueEntry:
        """The SKU of that name.

        Raises:
            UsageError: no catalogue has it; the hint has near names.
            PluginError: those of several distributions have it.
        """
        searched = [e for e in self.entries if distribution in (None, e.distribution)]
        found = [e for e in searched if e.sku.name == name]
        found = found or [e for e in searched if e.is_called(name.strip())]
        if len(found) == 1:
            return found[0]
        if found:
            both = " and ".join(e.distribution for e in found)
            raise PluginError(
                f"the SKU {name!r} is in several catalogues: {both}",
                hint=f"use a full name, such as {found[0].distribution}/{found[0].sku.name}",
            )
        raise UsageError(f"unknown SKU {name!r}", hint=self.suggestion(name))

    def suggestion(self, name: str) -> str:
        """Names that are near `name`, for a hint."""
        near = self.near(name)
        listed = "`bench hardware list` shows all"
        if self.unread:
            listed += f" (not read: {', '.join(self.unread)})"
        return f"did you mean {' or '.join(map(repr, near))}? {listed}" if near else listed

    def near(self, name: str) -> list[str]:
        """At most three names of SKUs like `name`, the nearest first."""
        wanted = name.strip().lower()
        names = [entry.sku.name for entry in self.entries]
        close = difflib.get_close_matches(wanted, names, n=_NEAR, cutoff=0.6)
        longer = [n for n in names if len(wanted) > 1 and (wanted in n or n in wanted)]
        return list(dict.fromkeys([*close, *longer]))[:_NEAR]


def read_catalogue(registry: PluginRegistry) -> Catalogue:
    """The catalogues of all hardware plugins. They are loaded in a separate registry, so that
    `registry` does not call hooks of plugins that were not requested.
    """
    plugins = PluginInstances(registry.apart())
    candidates = [c for c in registry.candidates if c.kind == "hardware"]
    count = collections.Counter(candidate.name for candidate in candidates)
    entries: list[CatalogueEntry] = []
    unread: dict[str, str] = {}
    for candidate in candidates:
        key = candidate.name if count[candidate.name] == 1 else candidate.key
        try:
            entries += _entries(plugins, candidate, PluginRef.of(key))
        except BenchError as error:
            unread[key] = f"{error.message} ({error.hint})"
    return Catalogue(entries=tuple(entries), unread=unread)


def _entries(
    plugins: PluginInstances, candidate: Candidate, ref: PluginRef
) -> list[CatalogueEntry]:
    spec = plugins.spec("hardware", candidate.key)
    return [
        CatalogueEntry(
            sku=sku,
            plugin=ref,
            distribution=candidate.distribution,
            accelerated=spec.accelerated,
        )
        for sku in plugins.hardware(ref).catalogue()
    ]
