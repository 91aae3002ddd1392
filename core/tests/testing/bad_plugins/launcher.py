"""Launchers that allocate wrongly; everything else is done by the local launcher.

Faults in their deployments are in `deployment`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from tokenbench.api import (
    Allocation,
    FrozenMap,
    HardwareAbsent,
    Host,
    LauncherContext,
    LauncherSpec,
    NoOptions,
    Placement,
    Resources,
)
from tokenbench.launch.local import LocalLauncher
from tokenbench.testing.kit import Subject

LEVELS = (0, 1, 2)


def subject_of(make: Callable[[LauncherContext], Any], *, here: bool = True) -> Subject:
    """A launcher as its author would test it."""
    spec = LauncherSpec(
        name="near", summary="this machine", factory=lambda options, context: make(context)
    )
    return Subject(
        kind="launcher",
        name="near",
        module="bad_plugins.launcher",
        spec=spec,
        options=NoOptions(),
        data={"here": here},
    )


def _places(change: Callable[..., Any]) -> Subject:
    """A launcher with changed placements."""

    class Bad(LocalLauncher):
        def allocate(self, resources: Resources) -> Allocation:
            given = super().allocate(resources)
            return attrs.evolve(given, placements=tuple(change(list(given.placements))))

    return subject_of(Bad)


def _ports(change: Callable[[dict[str, int]], dict[str, int]]) -> Subject:
    return _places(
        lambda places: [attrs.evolve(p, ports=FrozenMap(change(dict(p.ports)))) for p in places]
    )


def _all_devices(places: list[Any]) -> list[Any]:
    devices = tuple(device for place in places for device in place.devices)
    return [attrs.evolve(place, devices=devices) for place in places]


_UNASKED = Placement(role="server", index=0, host=Host(name="localhost", address="127.0.0.1"))


class Generous(LocalLauncher):
    def allocate(self, resources: Resources) -> Allocation:
        try:
            return super().allocate(resources)
        except HardwareAbsent:
            cheap = tuple(attrs.evolve(p, accelerators=0) for p in resources.processes)
            return super().allocate(attrs.evolve(resources, processes=cheap))


def with_context(**changes: Any) -> Subject:
    """The local launcher with a context other than the given one."""
    return subject_of(lambda context: LocalLauncher(attrs.evolve(context, **changes)))


GOOD = [subject_of(LocalLauncher)]
BAD = {
    "launcher-factory-returns-a-launcher": subject_of(lambda context: object()),
    "empty-allocation-is-allowed": _places(lambda places: places or [_UNASKED]),
    "every-replica-is-placed": _places(lambda places: [p for p in places if p.index == 0]),
    "placements-have-the-named-ports": _ports(lambda ports: {"http": ports["http"]}),
    "ports-are-distinct": _ports(lambda ports: dict.fromkeys(ports, ports["http"])),
    "requested-port-is-used": with_context(port=None),
    "too-many-accelerators-are-rejected": subject_of(Generous),
    "accelerators-are-not-shared": _places(_all_devices),
}
ALSO: dict[str, set[str]] = {}
