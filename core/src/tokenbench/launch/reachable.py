"""Whether a process is ready."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

_LIMIT_S = 2.0


def is_ready(url: str) -> bool:
    """Whether ``tcp://HOST:PORT`` accepts a connection, or an HTTP URL answers with a status from
    200 to 299.
    """
    parts = urlsplit(url)
    if parts.scheme == "tcp":
        try:
            socket.create_connection((parts.hostname or "", parts.port or 0), _LIMIT_S).close()
        except OSError:
            return False
        return True
    import httpx

    try:
        return httpx.get(url, timeout=_LIMIT_S, trust_env=False).is_success
    except httpx.HTTPError:
        return False
