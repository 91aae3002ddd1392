"""Options of the launcher."""

from __future__ import annotations

from tokenbench.api import FrozenMap, option, options

from .destination import destination


@options
class SshOptions:
    """Options of the launcher. Everything else (keys, jump hosts, aliases) is in ssh's own
    configuration.
    """

    hosts: tuple[str, ...] = option(
        check=destination,
        identity=False,
        help="hosts as ssh knows them: HOST, USER@HOST or USER@HOST:PORT; an alias of "
        "~/.ssh/config is a HOST",
    )
    addresses: FrozenMap[str] = option(
        default=FrozenMap(),
        identity=False,
        help="address of each host in the servers' network, as {gpu1: 10.0.0.11}; default: the "
        "address that ssh connects to",
    )
    config: str | None = option(
        default=None, identity=False, help="configuration file of ssh, as ssh -F takes it"
    )
    python: str = option(
        default="python3", identity=False, help="Python 3.8 or newer on the hosts, name or path"
    )
    shared: str | None = option(
        default=None,
        identity=False,
        help="folder shared by all hosts under this path, for engines that share files",
    )
    connect_timeout_s: int = option(
        default=10, minimum=1, unit="s", identity=False, help="time limit for the connection"
    )

    def __attrs_post_init__(self) -> None:
        """The lists fit each other."""
        names = [destination(text).name for text in self.hosts]
        if not names:
            raise ValueError("hosts is empty")
        if double := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"hosts names {min(double)} twice")
        if unknown := set(self.addresses) - set(names):
            raise ValueError(f"addresses has {min(unknown)}; the hosts are {', '.join(names)}")
