"""Free ports on the loopback interface."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

from tokenbench.api import EngineError

_given: set[int] = set()
_lock = threading.Lock()


def free_port(address: str = "127.0.0.1") -> int:
    """A port that is free now and that this process has not handed out before."""
    while True:
        with socket.socket() as probe:
            probe.bind((address, 0))
            port = int(probe.getsockname()[1])
        with _lock:
            if port not in _given:
                _given.add(port)
                return port


def require_free(address: str, port: int) -> None:
    """Check that a port can be bound.

    Raises:
        EngineError: it is taken; the hint names the holder where the kernel tells.
    """
    with socket.socket() as probe:
        # As servers do it: a socket in TIME_WAIT must not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            holder = _holder(port)
            raise EngineError(
                f"port {address}:{port} is already taken" + (f" by {holder}" if holder else ""),
                hint="stop what uses it, or leave the port out to get a free one",
            ) from error


def _holder(port: int) -> str | None:
    """Name and pid of the process that listens on `port`, from /proc."""
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
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            for link in (folder / "fd").iterdir():
                if os.readlink(link) in inodes:  # noqa: PTH115 - a socket is no path
                    return f"{(folder / 'comm').read_text().strip()} (pid {folder.name})"
        except OSError:
            continue
    return None
