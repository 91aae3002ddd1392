"""Control calls to a running server: status, version, counters. Not for measured requests."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from tokenbench.api import Access, Endpoint, Reply

from .failure import server_words
from .http_failure import failure_text
from .proxy import find_proxy
from .secret import read_secret, request_headers
from .tls import tls_context

if TYPE_CHECKING:
    import httpx

_TIMEOUT_S = 5.0
# Limit for connecting: a server of another protocol may never answer.
_CONNECT_S = 2.0


class ControlClient:
    """Implements :class:`tokenbench.api.ServerClient`. The API key never appears in errors or logs.

    Args:
        endpoints: the server's endpoints; the first one takes the load.
        api_key_env: name of the environment variable with the API key, if the server needs one.
        access: how requests reach the server.
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
        access: Access = Access(),  # noqa: B008 - frozen
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        self._endpoints = endpoints
        self._api_key_env = api_key_env
        self.access = access
        self._timeout_s = timeout_s
        self._clients: dict[int, httpx.Client] = {}
        self.last_failure: tuple[str, str] | None = None

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All endpoints; the first one takes the load."""
        return self._endpoints

    @property
    def api_key(self) -> str | None:
        """The API key, from the environment or the keyring."""
        return read_secret(self._api_key_env)

    def get(self, path: str, *, endpoint: int = 0) -> Reply:
        """GET a path."""
        return self._call("GET", path, None, endpoint)

    def post(self, path: str, json: object = None, *, endpoint: int = 0) -> Reply:
        """POST a JSON body to a path."""
        return self._call("POST", path, json, endpoint)

    def close(self) -> None:
        """Close the connections. May be called twice."""
        while self._clients:
            self._clients.popitem()[1].close()

    def _call(self, method: str, path: str, json: object, endpoint: int) -> Reply:
        import httpx

        if endpoint not in self._clients:
            self._clients[endpoint] = http_client(
                self._endpoints[endpoint].url,
                self.access,
                self.api_key,
                timeout_s=self._timeout_s,
                connect_s=_CONNECT_S,
            )
        url = self._endpoints[endpoint].url.rstrip("/") + self.access.path(path)
        try:
            with self._clients[endpoint].stream(method, url, json=json) as reply:
                # httpx limits each read only, so a slow response could last forever.
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


def http_client(
    url: str,
    access: Access,
    api_key: str | None,
    *,
    timeout_s: float,
    connect_s: float = math.inf,
) -> httpx.Client:
    """A client for requests that are not measured. It uses the same access as measured ones.

    Args:
        timeout_s: limit of each step.
        connect_s: limit of connecting, if it is shorter.

    Raises:
        UsageError: a header, the certificates or the proxy cannot be used.
    """
    import httpx

    proxy = find_proxy(url, access)
    return httpx.Client(
        timeout=httpx.Timeout(timeout_s, connect=min(connect_s, timeout_s)),
        trust_env=False,  # The proxy is chosen here, as for measured requests.
        headers=request_headers(access, api_key),
        proxy=httpx.Proxy(proxy.url, headers=proxy.headers) if proxy else None,
        verify=tls_context(access, url),
    )


def status_failure(reply: httpx.Response, body: str) -> str:
    """The failure of a response whose status is not 200."""
    location = reply.headers.get("location")
    words = f"to {location}" if reply.is_redirect and location else server_words(body)
    return f"HTTP {reply.status_code}: {words}"


def _without_password(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"
