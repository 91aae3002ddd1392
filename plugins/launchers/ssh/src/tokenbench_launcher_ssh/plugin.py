"""Registers the launcher `ssh`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Launcher, LauncherSpec, PluginContext, hookimpl

from .options import SshOptions


def _make(options: SshOptions, context: PluginContext) -> Launcher:
    from .launcher import SshLauncher

    return SshLauncher(options)


@hookimpl
def bench_register_launchers() -> Sequence[LauncherSpec]:
    """The launcher."""
    return [
        LauncherSpec(
            name="ssh",
            summary="hosts of a list, reached by ssh",
            options=SshOptions,
            factory=_make,
        )
    ]
