"""The HTTP proxy of the environment."""

from __future__ import annotations

import base64
import ipaddress
import os
from urllib.parse import unquote, urlsplit

import attrs

from tokenbench.api import Access, UsageError

_VARIABLES = ("https_proxy", "http_proxy", "all_proxy")


@attrs.frozen(kw_only=True)
class Proxy:
    """An HTTP proxy; `user` is ``user:password`` in base64, as its header has it."""

    host: str
    port: int
    user: str | None = attrs.field(default=None, repr=False)
    password: str = attrs.field(default="", repr=False)

    @property
    def url(self) -> str:
        """Its address, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that the proxy itself needs."""
        return {"Proxy-Authorization": f"Basic {self.user}"} if self.user else {}

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must not be written anywhere."""
        return (self.user or "", self.password)


def find_proxy(url: str, access: Access) -> Proxy | None:
    """The proxy for requests to `url`; None to connect directly.

    The variables are read as curl does: lower case first, and NO_PROXY with names, domains, ``*``
    and networks.

    Raises:
        UsageError: it is not an HTTP proxy.
    """
    if not access.proxy or not any(
        os.environ.get(name) or os.environ.get(name.upper()) for name in _VARIABLES
    ):
        return None
    from urllib.request import (  # type: ignore[attr-defined]
        getproxies_environment,
        proxy_bypass_environment,
    )

    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies_environment()
    address = proxies.get(parts.scheme) or proxies.get("all")
    if not address or _is_this_machine(host) or _in_network(host, proxies.get("no", "")):
        return None
    if proxy_bypass_environment(parts.netloc.rpartition("@")[2], proxies):
        return None
    return _parsed(address, parts.scheme)


def _parsed(address: str, scheme: str) -> Proxy:
    parts = urlsplit(address if "://" in address else f"http://{address}")
    variable = f"{scheme.upper()}_PROXY or ALL_PROXY"
    if parts.scheme != "http" or not parts.hostname:
        # Never the address itself: it may have a password.
        raise UsageError(
            f"the proxy in {variable} has the scheme {parts.scheme!r}; only HTTP proxies are "
            "supported",
            hint="name an http:// proxy, add the server to NO_PROXY, or set proxy=false",
        )
    user, password = None, unquote(parts.password or "")
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{password}"
        user = base64.b64encode(pair.encode()).decode()
    return Proxy(host=parts.hostname, port=parts.port or 80, user=user, password=password)


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _in_network(host: str, excluded: str) -> bool:
    """Whether an address is in a network of NO_PROXY, such as ``10.0.0.0/8``."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for item in excluded.split(","):
        try:
            if address in ipaddress.ip_network(item.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False
