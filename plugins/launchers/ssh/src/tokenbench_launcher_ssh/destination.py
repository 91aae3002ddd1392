"""Hosts as a user names them: ``gpu1``, ``alice@gpu1``, ``gpu1:2222``, ``alice@[::1]:22``."""

from __future__ import annotations

import re

import attrs

_FORM = re.compile(
    r"(?:(?P<user>[\w.+-]+)@)?"
    r"(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[\w.-]+))"
    r"(?::(?P<port>\d{1,5}))?",
    re.ASCII,
)


@attrs.frozen(kw_only=True)
class Destination:
    """Where ssh connects to. `name`: the host in logs and results, with the port if one is given.

    None: what the user's configuration of ssh says.
    """

    name: str
    host: str
    user: str | None = None
    port: int | None = None


def destination(text: str) -> Destination:
    """Read it.

    Raises:
        ValueError: it has another form.
    """
    found = _FORM.fullmatch(text)
    # ssh would take a leading "-" for an option.
    if found is None or text.startswith("-") or (found["host"] or "").startswith("-"):
        raise ValueError("expected HOST, USER@HOST or USER@HOST:PORT")
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port < 65536:
        raise ValueError("expected a port from 1 to 65535")
    return Destination(
        name=text.rpartition("@")[2],
        host=found["v6"] or found["host"],
        user=found["user"],
        port=port,
    )
