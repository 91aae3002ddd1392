"""Checks of what an option means, for ``option(check=...)``. They raise ValueError."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_URL = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]!$&'()*+,;=%]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_LABEL = 63


def http_url(text: str) -> None:
    """The address of a server: ``http://HOST``, with a port and a path if needed.

    Raises:
        ValueError: it is not one, or may hold a key. The message does not repeat a key.
    """
    if "@" in text:
        raise ValueError("an address must not contain a user or password")
    if not _URL.fullmatch(text):
        raise ValueError(f"expected http://HOST:PORT without spaces, got {text!r}")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"expected http://HOST:PORT, got {text!r}: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"expected http://HOST:PORT, got {text!r}")
    if port == 0:
        raise ValueError(f"expected a port between 1 and 65535, got {text!r}")
    if "?" in text or "#" in text:
        # Its value may be a key.
        raise ValueError("expected http://HOST:PORT/PATH, without ? or #")
    labels = host.removesuffix(".").split(".")
    if not all(0 < len(label) <= _LONGEST_LABEL for label in labels):
        raise ValueError(f"expected a host name, got {host!r}")


def variable_name(text: str) -> None:
    """The name of an environment variable, not its value.

    Raises:
        ValueError: it cannot be one. It is not part of the message: it may be a key.
    """
    if not _VARIABLE.fullmatch(text):
        raise ValueError("expected the NAME of an environment variable")
