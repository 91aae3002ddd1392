"""Why requests fail: the one place that turns a failure into a message and a hint.

Readiness checks, load workers, evals and control calls write a failure as text of the same form:

* ``HTTP 404: WORDS``: a response with the server's message, see :func:`server_words`,
* ``HTTP 307: to URL``: a redirect,
* ``cannot resolve HOST: REASON`` and ``cannot connect: REASON``,
* ``connection closed: REASON``, ``not HTTP: REASON``,
* ``compressed response (gzip)``,
* anything else: what was wrong with a response.

:func:`explain` reads that text.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Container

import attrs

from tokenbench.api import BenchError, EngineError, MeasurementInvalid

# Maximum characters of a server's message, and of a failure that quotes it.
_MAX_WORDS, _MAX_FAILURE = 300, 400


class Cause(enum.StrEnum):
    """The cause of a failure, as far as its text shows it."""

    REFUSED = enum.auto()
    UNREACHABLE = enum.auto()
    SILENT = enum.auto()
    UNKNOWN_HOST = enum.auto()
    CERTIFICATE = enum.auto()
    SPEAKS_HTTP = enum.auto()
    SPEAKS_TLS = enum.auto()
    TLS = enum.auto()
    NOT_HTTP = enum.auto()
    CLOSED = enum.auto()
    REDIRECT = enum.auto()
    COMPRESSED = enum.auto()
    KEY = enum.auto()
    FORBIDDEN = enum.auto()
    MODEL = enum.auto()
    PATH = enum.auto()
    CONTEXT = enum.auto()
    RATE_LIMIT = enum.auto()
    REJECTED = enum.auto()
    UNAVAILABLE = enum.auto()
    SERVER_ERROR = enum.auto()
    ANSWER = enum.auto()


# Waiting does not help.
PERMANENT = frozenset(
    {
        Cause.UNKNOWN_HOST,
        Cause.CERTIFICATE,
        Cause.SPEAKS_HTTP,
        Cause.SPEAKS_TLS,
        Cause.REDIRECT,
        Cause.COMPRESSED,
        Cause.KEY,
        Cause.FORBIDDEN,
    }
)
# The server understood the request and rejects it. The engine did not fail.
_OF_THE_REQUEST = frozenset(
    {
        Cause.KEY,
        Cause.FORBIDDEN,
        Cause.MODEL,
        Cause.PATH,
        Cause.CONTEXT,
        Cause.RATE_LIMIT,
        Cause.REJECTED,
        Cause.REDIRECT,
        Cause.COMPRESSED,
    }
)
# Servers that could not be asked for the tokens of a request at all.
UNCONNECTED = frozenset({Cause.REFUSED, Cause.UNREACHABLE, Cause.SILENT})


@attrs.frozen(kw_only=True)
class Explanation:
    """What to tell the user. `message` is a clause such as "nothing listens at http://..."."""

    cause: Cause
    message: str
    hint: str

    @property
    def permanent(self) -> bool:
        """Whether waiting for the server cannot help."""
        return self.cause in PERMANENT

    def error(self, begin: str = "") -> BenchError:
        """The error if all requests failed for this reason. Exit code 6: the server rejects them;
        5: it failed.
        """
        kind = MeasurementInvalid if self.cause in _OF_THE_REQUEST else EngineError
        return kind(begin + self.message, hint=self.hint)


_CONTEXT = re.compile(
    r"context[ _-]?(length|size|window)|exceed_context|max_(model|seq|input|num)_(len|tokens)"
    r"|maximum (model|input|sequence|prompt) length|longer than the m(odel|aximum)"
    r"|(prompt|input|inputs?` tokens).{0,60}(too (long|large)|max_new_tokens)"
    r"|reduce the length of",
    re.IGNORECASE,
)
_MODEL = re.compile(
    r"model_not_found|(unknown|invalid|no such|unsupported) model"
    r"|model.{0,200}(not[ _]found|does not exist|doesn't exist|not exist|is not available"
    r"|not (loaded|served|supported))|not found.{0,20}model",
    re.IGNORECASE | re.DOTALL,
)
_TLS_PORT = re.compile(r"HTTPS (port|server)|plain HTTP request", re.IGNORECASE)
_QUOTA = re.compile(r"quota|billing|credit|balance", re.IGNORECASE)
_HTTP_ANSWER = re.compile(
    r"WRONG_VERSION_NUMBER|HTTP_REQUEST|PACKET_LENGTH_TOO_LONG|RECORD_LAYER_FAILURE"
)
_STATUS = re.compile(r"^HTTP (\d{3}): ?(.*)", re.DOTALL)


def explain(failure: str, url: str, *, key_variable: str | None = None) -> Explanation:
    """The message and the hint for a failure.

    Args:
        failure: its text.
        url: the server's address.
        key_variable: name of the environment variable with the API key, if one was sent.
    """
    failure = _one_line(failure, _MAX_FAILURE)
    found = _STATUS.search(failure)
    if found is not None:
        return _of_status(int(found[1]), found[2].strip(), url, key_variable)
    for pattern, cause, message, hint in _TEXTS:
        if (match := re.search(pattern, failure, re.DOTALL)) is not None:
            return Explanation(
                cause=cause,
                message=message.format(
                    url=url, failure=failure, found=match[match.lastindex or 0].strip()
                ),
                hint=hint,
            )
    return Explanation(
        cause=Cause.ANSWER,
        message=f"the response of {url} is incomplete or not valid: {failure}",
        hint="check that it serves this API, and see the server's log",
    )


_CONNECT = "cannot connect: "
# Pattern, cause, message, hint; the first match is used.
_TEXTS: tuple[tuple[str, Cause, str, str], ...] = (
    (
        r"cannot resolve (.+)",
        Cause.UNKNOWN_HOST,
        "the host name cannot be resolved: {found}",
        "check the spelling of the host name, and the DNS of this machine",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED.*?: ([^:(]*expired[^:(]*)",
        Cause.CERTIFICATE,
        "the certificate of {url} is not valid: {found}",
        "renew it, or check the clock of this machine",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED.*?: ((?:Hostname|IP address)[^(]*)",
        Cause.CERTIFICATE,
        "the certificate of {url} is for another host: {found}",
        "use a host name that the certificate names",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED\]?(?: certificate verify failed)?:? ?([^(]*)",
        Cause.CERTIFICATE,
        "the certificate of {url} is not trusted: {found}",
        "name a file with its CA's certificate: openai:ca_file=FILE, or SSL_CERT_FILE",
    ),
    (
        _HTTP_ANSWER.pattern,
        Cause.SPEAKS_HTTP,
        "{url} speaks http, not https",
        "write http:// in the address",
    ),
    (
        r"speaks TLS",
        Cause.SPEAKS_TLS,
        "{url} speaks https, not http",
        "write https:// in the address",
    ),
    (
        r"\[SSL[^\]]*\]|TLS",
        Cause.TLS,
        "no TLS connection to {url}: {failure}",
        "check that the port serves https, and which TLS versions the server supports",
    ),
    (
        rf"{_CONNECT}Connection refused",
        Cause.REFUSED,
        "nothing listens at {url} (connection refused)",
        "start the server first, or check host and port",
    ),
    (
        rf"{_CONNECT}no answer within (.*)",
        Cause.SILENT,
        "{url} accepts no connection: no answer within {found}",
        "check the address, and whether a firewall blocks connections",
    ),
    (
        rf"{_CONNECT}(.*)",
        Cause.UNREACHABLE,
        "no connection to {url}: {found}",
        "check the address, and the network between this machine and the server",
    ),
    (
        r"not HTTP: (.*)",
        Cause.NOT_HTTP,
        "the answer of {url} is not HTTP: {found}",
        "check the port: another program may listen there",
    ),
    (
        r"connection closed: (.*)",
        Cause.CLOSED,
        "{url} closes the connection before its response is complete ({found})",
        "see the server's log: it may have crashed, or limit connections",
    ),
    (
        r"compressed response \((.*)\)",
        Cause.COMPRESSED,
        "{url} compresses its responses ({found}), although the request forbids it",
        "switch compression off on the server, or on the proxy in front of it",
    ),
    (
        r"no response within (.*)|not complete after (.*)",
        Cause.ANSWER,
        "{url} did not answer in time: {failure}",
        "see the server's log: it may be overloaded or stuck; or raise load.request_timeout_s",
    ),
)


def _of_status(status: int, words: str, url: str, key_variable: str | None) -> Explanation:
    said = f"HTTP {status}: {words}" if words else f"HTTP {status}"
    key_hint = "put the key into an environment variable, and name the variable with api_key_env"
    if key_variable is not None:
        key_hint = f"check the key in the variable {key_variable}"
    for statuses, pattern, cause, message, hint in _STATUSES:
        if status in statuses and (pattern is None or pattern.search(words)):
            return Explanation(
                cause=cause,
                message=message.format(url=url, said=said, words=words.removeprefix("to ")),
                hint=hint.format(key_hint=key_hint),
            )
    return Explanation(cause=Cause.SERVER_ERROR, message=f"{url} fails ({said})", hint=_LOG_HINT)


_LOG_HINT = "see the server's log"
# Statuses, pattern of the words, cause, message, hint; the first match is used.
_STATUSES: tuple[tuple[Container[int], re.Pattern[str] | None, Cause, str, str], ...] = (
    (
        (400,),
        _TLS_PORT,
        Cause.SPEAKS_TLS,
        "{url} speaks https, not http ({said})",
        "write https:// in the address",
    ),
    (
        range(300, 400),
        None,
        Cause.REDIRECT,
        "{url} redirects to {words}",
        "use the new address: redirects are not followed, because they would be measured too",
    ),
    ((401,), None, Cause.KEY, "{url} does not accept the API key ({said})", "{key_hint}"),
    (
        (403, 407),
        None,
        Cause.FORBIDDEN,
        "{url} forbids the request ({said})",
        "check the permissions of the key, and the rules of any proxy in front of the server",
    ),
    (
        (402, 429),
        _QUOTA,
        Cause.RATE_LIMIT,
        "{url} limits the requests of this account ({said})",
        "raise the quota of the account, or use another key",
    ),
    (
        (429,),
        None,
        Cause.RATE_LIMIT,
        "{url} limits the rate of requests ({said})",
        "use a lower load, or raise the limit of the server or of the proxy in front of it",
    ),
    (
        (400, 413, 422, 500),
        _CONTEXT,
        Cause.CONTEXT,
        "a request does not fit into the context of the server ({said})",
        "use shorter prompts or outputs in the workload, or give the server a longer context",
    ),
    (
        (400, 404, 422),
        _MODEL,
        Cause.MODEL,
        "{url} does not serve this model ({said})",
        "check the model's name: /v1/models lists those of the server",
    ),
    (
        (404, 405),
        None,
        Cause.PATH,
        "{url} does not exist on the server ({said})",
        "check the address without the API's path: /v1/chat/completions and others are appended",
    ),
    (
        (408, 425, 502, 503, 504),
        None,
        Cause.UNAVAILABLE,
        "{url} is not available ({said})",
        "see the log of the server, or of a proxy in front of it: it may be loading or overloaded",
    ),
    (
        range(400, 500),
        None,
        Cause.REJECTED,
        "{url} rejects the request ({said})",
        "check the engine's options and the workload against what the server accepts",
    ),
)


_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


def compression(header: str | None, body: bytes) -> str | None:
    """The failure of a compressed response, by its header Content-Encoding or by its first bytes:
    some proxies send no header. None if it is not compressed.
    """
    name = header if header not in (None, "", "identity") else None
    name = name or next((n for magic, n in _COMPRESSED.items() if body.startswith(magic)), None)
    return None if name is None else f"compressed response ({name})"


def server_words(body: bytes | str) -> str:
    """The server's message in the body of an error, shortened, on one line."""
    text = body if isinstance(body, str) else body.decode(errors="replace")
    try:
        page = json.loads(text)
    except ValueError:
        # A proxy's HTML page: its title has the message.
        title = re.search(r"<title>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        return _one_line(title[1] if title else re.sub(r"<[^>]*>", " ", text))
    return _one_line(_message(page) or ("" if page in ({}, [], None, "") else text))


def _message(page: object) -> str | None:
    """The message in an error body, in the forms that servers use."""
    if isinstance(page, str):
        return page
    if isinstance(page, list):
        return _message(page[0]) if page else None
    if not isinstance(page, dict):
        return None
    for name in ("error", "message", "msg", "detail", "errors"):
        message = _message(page.get(name))
        if message:
            code = page.get("code")
            named = isinstance(code, str) and "_" in code and code not in message
            return f"{message} ({code})" if named else message
    return None


def _one_line(text: str, limit: int = _MAX_WORDS) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."
