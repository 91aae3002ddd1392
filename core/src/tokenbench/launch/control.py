"""Control calls to a running server: status, versions, counters. Never for measured requests."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tokenbench.api import Endpoint, Reply

if TYPE_CHECKING:
    import httpx

_TIMEOUT_S = 5.0


class ControlClient:
    """Implements :class:`tokenbench.api.Server`. The key never shows in errors or logs."""

    def __init__(self, endpoints: tuple[Endpoint, ...], *, api_key_env: str | None = None) -> None:
        self._endpoints = endpoints
        self._api_key_env = api_key_env
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
            self._client = httpx.Client(timeout=_TIMEOUT_S, trust_env=False)
        key = self.api_key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        url = self._endpoints[endpoint].url.rstrip("/") + path
        try:
            reply = self._client.request(method, url, json=json, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ConnectionError(f"no answer from {url}: {type(error).__name__}") from None
        return Reply(status=reply.status_code, text=reply.text)
