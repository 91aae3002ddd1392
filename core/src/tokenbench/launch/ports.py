"""Free ports on the loopback interface."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tokenbench.api import EngineError, UsageError

from .cpu_time import process_name

if TYPE_CHECKING:
    from .node.client import NodeAgent

_allocated: set[int] = set()
_lock = threading.Lock()


def free_port() -> int:
    """A port that is free now and that this process has not returned before."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        with _lock:
            if port not in _allocated:
                _allocated.add(port)
                return port


def require_free(address: str, port: int, agent: NodeAgent | None = None) -> None:
    """Check that a port can be bound: at `address` of this machine, or on the agent's host.

    Raises:
        AgentError: the agent cannot answer.
        EngineError: the port is in use, or this user may not bind it.
        UsageError: the port number is out of range.
    """
    if not 1 <= port <= 65535:
        raise UsageError(f"port {port} does not exist", hint="use one from 1 to 65535")
    if agent is not None and not agent.is_here:
        if (fault := agent.ask("port_fault", port=port)) is not None:
            raise EngineError(
                f"port {port} of {agent.host} cannot be used: {fault}",
                hint="omit the port to get a free one, or free it on that host",
            )
        return
    with socket.socket() as probe:
        # As servers do: a socket in TIME_WAIT does not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise EngineError(
                    f"port {address}:{port} cannot be used: {error.strerror}",
                    hint="ports below 1024 need privileges; omit the port to get a free one",
                ) from error
            process = next((f"{name} (pid {pid})" for pid, name in listeners(port).items()), "")
            raise EngineError(
                f"port {address}:{port} is in use" + (f" by {process}" if process else ""),
                hint="stop that process, or omit the port to get a free one",
            ) from error


def listeners(port: int) -> dict[int, str]:
    """Names, by pid, of the processes that listen on `port`, if this user may see them.

    Workers that share a socket are all listed. Read from /proc.
    """
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            parts = row.split()
            if parts[3] == "0A" and int(parts[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{parts[9]}]")
    if not inodes:
        return {}
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        if any(target in inodes for target in _descriptors(folder)):
            found[int(folder.name)] = process_name(folder)
    return found


def on_this_machine(host: str) -> bool:
    """Whether a host name or address belongs to this machine."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return False
    for family, kind, _, _, address in found:
        # A machine can bind only its own addresses.
        with contextlib.suppress(OSError), socket.socket(family, kind) as probe:
            probe.bind(address)
            return True
    return False


def _descriptors(process: Path) -> list[str]:
    """Targets of a process's open descriptors, as far as this user may read them."""
    try:
        links = list((process / "fd").iterdir())
    except OSError:
        return []
    targets = []
    for link in links:
        with contextlib.suppress(OSError):  # closed in the meantime
            targets.append(os.readlink(link))  # noqa: PTH115 - a socket is not a path
    return targets
