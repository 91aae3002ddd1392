"""Registers the launcher `local`, by the same hook as launcher plugins."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Launcher, LauncherSpec, NoOptions, PluginContext, hookimpl


def _create(options: NoOptions, context: PluginContext) -> Launcher:
    from .local import LocalLauncher

    return LocalLauncher()


@hookimpl
def bench_register_launchers() -> Sequence[LauncherSpec]:
    """Register the launcher `local`."""
    return [
        LauncherSpec(
            name="local",
            summary="this machine, each process under a supervisor",
            factory=_create,
            this_machine=True,
        )
    ]
