"""Control calls to a running server: status, version, counters. Not for measured requests."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from tokenbench.api import Endpoint, Reply, UsageError

from .failure import server_words
from .http_failure import failure_text

if TYPE_CHECKING:
    import ssl

    import httpx

_TIMEOUT_S = 5.0
# Of connecting: a server of the wrong protocol may say nothing.
_CONNECT_S = 2.0


class ControlClient:
    """Implements :class:`tokenbench.api.Server`. The API key never appears in errors or logs.

    Args:
        endpoints: the server's endpoints; the first one takes the load.
        api_key_env: name of the environment variable with the API key, if the server needs one.
        timeout_s: limit of each step of a call, and of reading the whole response.

    Attributes:
        last_failure: path and failure (see :mod:`.failure`) of the last call; None if the server
            answered it with status 200.
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
        self.last_failure: tuple[str, str] | None = None

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All endpoints; the first one takes the load."""
        return self._endpoints

    @property
    def api_key(self) -> str | None:
        """The API key from the environment."""
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
            # trust_env=False: no proxy between bench and the server.
            tls = tls_context(*(endpoint.url for endpoint in self._endpoints))
            limits = httpx.Timeout(self._timeout_s, connect=min(_CONNECT_S, self._timeout_s))
            self._client = httpx.Client(timeout=limits, trust_env=False, verify=tls)
        url = self._endpoints[endpoint].url.rstrip("/") + path
        try:
            with self._client.stream(method, url, json=json, headers=self._headers()) as reply:
                # The timeout of httpx is per read; a slow response could last forever.
                deadline = time.monotonic() + self._timeout_s
                body = b""
                for chunk in reply.iter_bytes():
                    body += chunk
                    if time.monotonic() > deadline:
                        raise httpx.ReadTimeout("the response does not end")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # Not the error's text, which may contain a header, nor a password in the URL.
            failure = failure_text(error, url)
            self.last_failure = (path, failure)
            raise ConnectionError(f"no response from {_without_password(url)}: {failure}") from None
        text = body.decode(reply.encoding or "utf-8", errors="replace")
        self.last_failure = None
        if reply.status_code != 200:
            self.last_failure = (path, status_failure(reply, text))
        return Reply(status=reply.status_code, text=text)

    def _headers(self) -> dict[str, str]:
        key = self.api_key
        if not key:
            return {}
        if not (key.isascii() and key.isprintable()):
            raise UsageError(
                f"the API key in the variable {self._api_key_env} is not valid in an HTTP header",
                hint="remove line breaks and characters that are not printable ASCII",
            )
        return {"Authorization": f"Bearer {key}"}


def status_failure(reply: httpx.Response, body: str) -> str:
    """The failure of a response whose status is not 200."""
    location = reply.headers.get("location")
    words = f"to {location}" if reply.is_redirect and location else server_words(body)
    return f"HTTP {reply.status_code}: {words}"


def _without_password(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


def tls_context(*urls: str) -> ssl.SSLContext | bool:
    """The TLS context of the load workers, for httpx; False if no URL is https, because loading
    the certificates takes longer than a request.
    """
    if not any(url.startswith("https:") for url in urls):
        return False
    import ssl

    return ssl.create_default_context()
