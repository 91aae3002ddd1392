"""Control calls to a running server: status, versions, counters. Never for measured requests."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from tokenbench.api import Endpoint, Reply, UsageError

if TYPE_CHECKING:
    import ssl

    import httpx

_TIMEOUT_S = 5.0


class ControlClient:
    """Implements :class:`tokenbench.api.Server`. The key never shows in errors or logs.

    Args:
        endpoints: whom to ask.
        api_key_env: name of the variable that holds the key, if there is one.
        timeout_s: limit of each step of a call, and of reading its answer as a whole.
    """

    def __init__(
        self,
        endpoints: tuple[Endpoint, ...],
        *,
        api_key_env: str | None = None,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        self._endpoints = endpoints
        self._api_key_env = api_key_env
        self._timeout_s = timeout_s
        self._client: httpx.Client | None = None

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All endpoints, the one that takes the load first."""
        return self._endpoints

    @property
    def api_key(self) -> str | None:
        """The key, from the environment."""
        return os.environ.get(self._api_key_env) if self._api_key_env else None

    def get(self, path: str, *, endpoint: int = 0) -> Reply:
        """GET a path."""
        return self._call("GET", path, None, endpoint)

    def post(self, path: str, json: object = None, *, endpoint: int = 0) -> Reply:
        """POST a JSON body to a path."""
        return self._call("POST", path, json, endpoint)

    def close(self) -> None:
        """Close the connections. May be called twice."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _call(self, method: str, path: str, json: object, endpoint: int) -> Reply:
        import httpx

        if self._client is None:
            # A proxy of the user's must not stand between bench and a server on this machine.
            tls = trusted(*(endpoint.url for endpoint in self._endpoints))
            self._client = httpx.Client(timeout=self._timeout_s, trust_env=False, verify=tls)
        url = self._endpoints[endpoint].url.rstrip("/") + path
        try:
            with self._client.stream(method, url, json=json, headers=self._headers()) as reply:
                # httpx limits each read: a server that drips would keep us for ever.
                deadline = time.monotonic() + self._timeout_s
                body = b""
                for chunk in reply.iter_bytes():
                    body += chunk
                    if time.monotonic() > deadline:
                        raise httpx.ReadTimeout("the answer does not end")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # Neither the error's text (it may hold a header) nor a password in the URL.
            shown = _without_password(url)
            raise ConnectionError(f"no answer from {shown}: {type(error).__name__}") from None
        text = body.decode(reply.encoding or "utf-8", errors="replace")
        return Reply(status=reply.status_code, text=text)

    def _headers(self) -> dict[str, str]:
        key = self.api_key
        if not key:
            return {}
        if not (key.isascii() and key.isprintable()):
            raise UsageError(
                f"the key in the variable {self._api_key_env} cannot be sent in a header",
                hint="it may hold printable ASCII characters only; look for a line break in it",
            )
        return {"Authorization": f"Bearer {key}"}


def _without_password(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


def trusted(*urls: str) -> ssl.SSLContext | bool:
    """Whom to trust over TLS: whom the load workers trust. False where no address asks for it:
    reading all certificates takes longer than asking a server.
    """
    if not any(url.startswith("https:") for url in urls):
        return False
    import ssl

    return ssl.create_default_context()
