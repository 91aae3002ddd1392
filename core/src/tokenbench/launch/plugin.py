"""Registers the launcher `local`: core uses its own door."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Launcher, LauncherContext, LauncherSpec, NoOptions, hookimpl


def _make(options: NoOptions, context: LauncherContext) -> Launcher:
    from .local import LocalLauncher

    return LocalLauncher(context)


@hookimpl
def bench_register_launchers() -> Sequence[LauncherSpec]:
    """The launcher."""
    return [
        LauncherSpec(
            name="local", summary="this machine, each process under a supervisor", factory=_make
        )
    ]
