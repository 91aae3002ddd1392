"""Addresses of hosts in the network of the servers."""

from __future__ import annotations

import ipaddress
import socket
import subprocess

from tokenbench.api import MachineError, UsageError

from .command import ssh_options
from .destination import Destination
from .options import SshOptions

_LIMIT_S = 10.0


def addresses(options: SshOptions, targets: tuple[Destination, ...]) -> tuple[str, ...]:
    """The IP address of each host: servers bind to it, and the others connect to it.

    Names are resolved here, because a host's own name is often a loopback address to itself.

    Raises:
        UsageError: an address is unknown, or other hosts cannot reach it.
    """
    given = options.addresses
    names = [given.get(target.name) or _host_name(options, target) for target in targets]
    found = tuple(_resolve(target.name, name) for target, name in zip(targets, names, strict=True))
    for target, address in zip(targets, found, strict=True):
        if len(targets) > 1 and ipaddress.ip_address(address).is_loopback:
            raise UsageError(
                f"{target.name} has the address {address}, which other hosts cannot reach",
                hint="give the addresses of all hosts with the launcher's option addresses",
            )
    return found


def _host_name(options: SshOptions, target: Destination) -> str:
    """What the user's configuration of ssh has as HostName; the host itself by default."""
    command = (*ssh_options(options, target), "-G", "--", target.host)
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineError(
            f"cannot run ssh: {error}", hint="install OpenSSH's client, or check PATH"
        ) from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise UsageError(
            f"ssh does not accept its configuration: {said[-1]}",
            hint="check ~/.ssh/config, or the launcher's option config",
        )
    lines = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    return lines.get("hostname", target.host)


def _resolve(host: str, name: str) -> str:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(
            f"the address of {host} is unknown: {name}: {error.strerror}",
            hint="check its name; behind a jump host, give the launcher's option addresses",
        ) from error
    # IPv4 first: many servers cannot bind to an address with a colon.
    best = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return str(best[4][0])
