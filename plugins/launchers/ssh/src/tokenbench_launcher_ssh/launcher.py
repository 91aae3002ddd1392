"""The launcher `ssh`: a channel to each host of a list."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Allocation, Host, Launcher, Resources

from .address import addresses
from .command import ssh_command
from .destination import destination
from .options import SshOptions


class SshLauncher(Launcher):
    """Grants all hosts of its list. Nobody else is asked, so nothing is reserved or released."""

    def __init__(self, options: SshOptions) -> None:
        self._options = options
        self._targets = {found.name: found for found in map(destination, options.hosts)}

    def allocate(self, resources: Resources) -> Allocation:
        """The hosts with their addresses."""
        targets = tuple(self._targets.values())
        hosts = tuple(
            Host(name=target.name, address=address, python=self._options.python)
            for target, address in zip(targets, addresses(self._options, targets), strict=True)
        )
        return Allocation(id="ssh", hosts=hosts, shared=self._options.shared)

    def channel(self, host: Host, argv: Sequence[str]) -> Sequence[str]:
        """The command of ssh."""
        return ssh_command(self._options, self._targets[host.name], argv)
