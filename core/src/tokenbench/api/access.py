"""How requests reach a server: everything but its address and its protocol."""

from __future__ import annotations

import attrs

from .frozen import FrozenMap

API_ROOT = "/v1"


@attrs.frozen(kw_only=True)
class Access:
    """How requests reach a server. Plain data without secrets: those stay in the environment.

    `api_root`: the path that stands for ``/v1`` in requests; empty for none. `query`: added to
    those paths (``api-version=2024-10-21``). `headers`: sent with every request. `headers_env`: the
    same, but the value is the NAME of the environment variable with the header's value. `ca_file`:
    the certificates to trust instead of the system's. `verify`: False accepts any certificate.
    `proxy`: use the proxy that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY name for this host;
    the machine itself is always reached directly.
    """

    api_root: str = API_ROOT
    query: str = ""
    headers: FrozenMap[str] = FrozenMap()
    headers_env: FrozenMap[str] = FrozenMap()
    ca_file: str | None = None
    verify: bool = True
    proxy: bool = False

    def path(self, path: str) -> str:
        """The path to send for a path of the OpenAI API; others, such as ``/health``, stay."""
        if path != API_ROOT and not path.startswith(f"{API_ROOT}/"):
            return path
        mark = "&" if "?" in path else "?"
        return f"{self.api_root}{path[len(API_ROOT) :]}{mark + self.query if self.query else ''}"
