"""The launcher `local`: this machine, without containers."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tokenbench.api import Allocation, Host, Launcher, Resources

HOST = Host(name="localhost", address="127.0.0.1", python=sys.executable)


class LocalLauncher(Launcher):
    """Gives this machine."""

    def allocate(self, resources: Resources) -> Allocation:
        """Return this machine, which needs no reservation."""
        return Allocation(id="local", hosts=(HOST,))

    def channel(self, host: Host, argv: Sequence[str]) -> Sequence[str]:
        """Return the command unchanged."""
        return argv
