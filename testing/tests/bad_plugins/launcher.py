"""Launchers with one fault each; everything else is done as by the local launcher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from tokenbench.api import Allocation, Host, LauncherSpec, NoOptions, Resources
from tokenbench.launch.local import LocalLauncher
from tokenbench_testing.kit import Subject

LEVELS = (0, 1, 2, 3)


def subject_of(make: Callable[..., Any], *, here: bool = True) -> Subject:
    """A launcher as its author would test it."""
    spec = LauncherSpec(name="near", summary="this machine", factory=lambda *_: make())
    return Subject(
        kind="launcher",
        name="near",
        module="bad_plugins.launcher",
        spec=spec,
        options=NoOptions(),
        data={"here": here, "limit_s": 1.0},
    )


def _channel(change: Callable[[Sequence[str]], Sequence[str]]) -> Subject:
    class Bad(LocalLauncher):
        def channel(self, host: Host, argv: Sequence[str]) -> Sequence[str]:
            return change(argv)

    return subject_of(Bad)


def _hosts(change: Callable[[Host], tuple[Host, ...]]) -> Subject:
    class Bad(LocalLauncher):
        def allocate(self, resources: Resources) -> Allocation:
            given = super().allocate(resources)
            return attrs.evolve(given, hosts=change(given.hosts[0]))

    return subject_of(Bad)


class _NeedsProcesses(LocalLauncher):
    def allocate(self, resources: Resources) -> Allocation:
        return super().allocate(resources) if resources.processes[0] else Allocation("", ())


class _Once(LocalLauncher):
    def __init__(self) -> None:
        self.released = False

    def allocate(self, resources: Resources) -> Allocation:
        if self.released:
            raise RuntimeError("released")
        return super().allocate(resources)

    def release(self, allocation: Allocation) -> None:
        self.released = True


class _Nothing:
    pass


def _shell(script: str) -> Subject:
    """Its channel runs the command as "$@" of a script."""
    return _channel(lambda argv: ("sh", "-c", script, "sh", *argv))


GOOD = [subject_of(LocalLauncher), subject_of(LocalLauncher, here=False)]
BAD = {
    "launcher-factory-returns-a-launcher": subject_of(_Nothing),
    "nothing-can-be-allocated": subject_of(_NeedsProcesses),
    "hosts-are-distinct": _hosts(lambda host: (host, host)),
    "hosts-can-be-released-and-allocated-again": subject_of(_Once),
    "channels-carry-every-byte": _shell('"$@" | tr "\\r" "\\n"'),
    "channels-keep-arguments": _channel(lambda argv: ("sh", "-c", " ".join(argv))),
    "errors-are-apart-from-output": _shell('"$@" 2>&1'),
    "channels-end-with-their-input": _shell('(cat; sleep 9) | "$@"'),
    "a-server-answers": _hosts(lambda host: (attrs.evolve(host, address="127.9.9.9"),)),
}
# Only the level 3 check of a subject itself is run.
ALSO = {
    "launcher-factory-returns-a-launcher": {
        "nothing-can-be-allocated",
        "hosts-are-distinct",
        "hosts-can-be-released-and-allocated-again",
    },
}
