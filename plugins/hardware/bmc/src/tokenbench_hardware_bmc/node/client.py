"""A client of one Redfish service: GET only, one connection that stays open.

A connection per reading would cost the BMC a TLS handshake each time. No proxy is used and no
redirect to another host is followed: the password goes to the BMC only.
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import time
from typing import Any
from urllib.parse import urljoin, urlsplit

from .errors import Unavailable

LIMIT_S = 8.0
_MOST_BYTES = 8 << 20
_MOST_REDIRECTS = 2
_OK, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 200, 401, 403, 404
_REDIRECTS = (301, 302, 307, 308)


class NotFound(Unavailable):
    """The service has no such resource."""


class Client:
    """Resources of the service at an address, as dicts."""

    def __init__(
        self, url: str, user: str, password: str, *, insecure: bool, limit_s: float
    ) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        self.name = parts.netloc
        self._parts = parts
        self._insecure = insecure
        self._limit_s = limit_s
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}", "Accept": "application/json"}
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str) -> dict[str, Any]:
        """The resource at a path of the service.

        Raises:
            NotFound: there is none.
            Unavailable: no connection, another status than 200, or no JSON object.
        """
        for _ in range(_MOST_REDIRECTS + 1):
            status, location, body = self._exchange(path)
            if status not in _REDIRECTS:
                return self._resource(path, status, body)
            target = urlsplit(urljoin(f"{self._parts.scheme}://{self.name}{path}", location))
            if (target.scheme, target.netloc) != (self._parts.scheme, self.name):
                break
            path = target.path
        raise Unavailable(
            f"{self.name} redirects {path} to {location[:100]!r}", "use that address as bmc:url"
        )

    def close(self) -> None:
        """Close the connection. The next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, path: str) -> tuple[int, str, bytes]:
        """Status, new location and body."""
        reused = self._connection is not None
        try:
            return self._request(path)
        except (http.client.RemoteDisconnected, ConnectionError) as error:
            self.close()
            # The service closed a connection that was idle.
            if not reused:
                raise self._no_connection(error) from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._no_connection(error) from None
        try:
            return self._request(path)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._no_connection(error) from None

    def _request(self, path: str) -> tuple[int, str, bytes]:
        deadline = time.monotonic() + self._limit_s
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request("GET", path, headers=self._headers)
        response = self._connection.getresponse()
        body = b""
        while True:
            # A service that sends slowly passes the socket's own limit with each byte.
            part = response.read1(1 << 16)
            body += part
            if not part:
                break
            if time.monotonic() > deadline:
                raise TimeoutError
            if len(body) > _MOST_BYTES:
                raise http.client.HTTPException(f"more than {_MOST_BYTES} bytes")
        if response.length:
            raise http.client.IncompleteRead(body, response.length)
        # read1() does not notice the end; the connection is free after close().
        response.close()
        if response.will_close:
            self.close()
        return response.status, response.getheader("Location") or "", body

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._limit_s)
        context = ssl.create_default_context()
        if self._insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(host, port, timeout=self._limit_s, context=context)

    def _no_connection(self, error: Exception) -> Unavailable:
        if isinstance(error, ssl.SSLCertVerificationError):
            return Unavailable(
                f"the certificate of {self.name} is not trusted: {error.verify_message}",
                "set SSL_CERT_FILE to the certificate of its authority, or accept any certificate "
                "(bmc:insecure=yes)",
                permanent=True,
            )
        # Python 3.8 and 3.9 have two.
        if isinstance(error, (TimeoutError, socket.timeout)):
            return Unavailable(
                f"{self.name} did not answer within {self._limit_s:g} s", "check the BMC"
            )
        text = " ".join(str(error).split())[:200] or type(error).__name__
        return Unavailable(
            f"no answer from {self.name}: {text}", "check address and network of the BMC"
        )

    def _resource(self, path: str, status: int, body: bytes) -> dict[str, Any]:
        if status == _OK:
            try:
                found = json.loads(body.decode())
            except ValueError:
                found = None
            if isinstance(found, dict):
                return found
            raise Unavailable(
                f"{self.name} has no JSON object at {path}", "check that it is a Redfish service"
            )
        reason = f"{self.name} answers {status} {http.client.responses.get(status, '')}".rstrip()
        if status in (_UNAUTHORIZED, _FORBIDDEN):
            raise Unavailable(
                reason, "check bmc:user, and the variable that password_env names", permanent=True
            )
        if status == _NOT_FOUND:
            raise NotFound(f"{reason} at {path}", "check bmc:url and bmc:chassis")
        raise Unavailable(f"{reason} at {path}", "check the BMC")
