"""The extras of installed plugins: optional packages that a plugin needs for some of its work."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Iterator

import attrs


@attrs.frozen(kw_only=True)
class Extra:
    """One extra of a distribution. `missing`: its requirements that are not met."""

    distribution: str
    name: str
    missing: tuple[str, ...]

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f'pip install "{self.distribution}[{self.name}]"'


def extras_of(distributions: Iterable[str]) -> list[Extra]:
    """All extras of these distributions, from their metadata."""
    return [
        Extra(distribution=name, name=extra, missing=tuple(_unmet(name, frozenset({extra}))))
        for name in distributions
        for extra in _metadata(name).get_all("Provides-Extra") or ()
    ]


def _metadata(distribution: str) -> importlib.metadata.PackageMetadata:
    return importlib.metadata.metadata(distribution)


def _unmet(distribution: str, extras: frozenset[str]) -> Iterator[str]:
    """Requirements of these extras that are not installed in a matching version."""
    from packaging.requirements import Requirement

    for text in importlib.metadata.requires(distribution) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        # What needs no extra was installed with the distribution.
        if marker is None or marker.evaluate({"extra": ""}):
            continue
        if not any(marker.evaluate({"extra": extra}) for extra in extras):
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            yield f"{requirement.name}{requirement.specifier}"
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement.name}{requirement.specifier} (installed: {version})"
        elif requirement.extras:
            yield from _unmet(requirement.name, frozenset(requirement.extras))
