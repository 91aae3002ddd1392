"""How requests reach a server: everything but its address and its protocol."""

from __future__ import annotations

import attrs

from .frozen import FrozenMap

API_ROOT = "/v1"


@attrs.frozen(kw_only=True)
class Access:
    """How requests reach a server. Plain data without secrets: those stay in the environment.

    `api_root`: the path that replaces ``/v1`` in requests; may be empty. `query`: the query string
    of those requests (``api-version=2024-10-21``). `headers`: sent with every request.
    `headers_env`: the same, by the NAME of the environment variable that holds the value.
    `ca_file`: the certificates to trust instead of the system's. `verify`: False accepts any
    certificate. `proxy`: use the proxy that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY name
    for this host; the machine itself is always reached directly.
    """

    api_root: str = API_ROOT
    query: str = ""
    headers: FrozenMap[str] = FrozenMap()
    headers_env: FrozenMap[str] = FrozenMap()
    ca_file: str | None = None
    verify: bool = True
    proxy: bool = False

    def path(self, path: str) -> str:
        """The path to send: with `api_root` and `query` if it begins with ``/v1``."""
        if path != API_ROOT and not path.startswith(f"{API_ROOT}/"):
            return path
        mark = "&" if "?" in path else "?"
        return f"{self.api_root}{path[len(API_ROOT) :]}{mark + self.query if self.query else ''}"
