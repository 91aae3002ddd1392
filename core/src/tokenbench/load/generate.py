"""One generation, without measuring: for readiness checks and evals."""

from __future__ import annotations

import attrs

from tokenbench.api import Codec, Target, Turn
from tokenbench.launch.control import status_failure, tls_context
from tokenbench.launch.failure import compression
from tokenbench.launch.http_failure import failure_text

from .records import ABSENT, Status
from .request_state import InFlightRequest


@attrs.frozen(kw_only=True)
class Generated:
    """The result of a generation.

    `text` is the answer, without reasoning and tool calls. `error` is None if the answer is whole.
    """

    text: str
    tokens: int
    n_in: int | None
    n_out: int | None
    error: str | None
    reasoning: str = ""
    tool_calls: str = ""


def generate(
    url: str, codec: Codec, turn: Turn, target: Target, api_key: str | None, *, timeout_s: float
) -> Generated:
    """Send one turn and wait for its end. Failures are returned as text, see
    :mod:`tokenbench.launch.failure`, not raised.
    """
    import httpx

    request = codec.encode(turn, target)
    headers = {"Content-Type": request.content_type, "Accept-Encoding": "identity"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    try:
        reply = httpx.request(
            request.method,
            url.rstrip("/") + request.path,
            content=request.body,
            headers=headers,
            timeout=timeout_s,
            trust_env=False,  # No proxy, as for all control requests.
            verify=tls_context(url),
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return _failed(failure_text(error, url))
    if reply.status_code != 200:
        return _failed(status_failure(reply, reply.text))
    # httpx decodes it, but a load worker does not: it would measure the decompression.
    compressed = compression(reply.headers.get("content-encoding"), reply.content)
    if compressed is not None:
        return _failed(compressed)
    return _read(codec, target, reply.content)


def _read(codec: Codec, target: Target, body: bytes) -> Generated:
    """Judge a response as a load worker does, except that an answer may be empty."""
    request = InFlightRequest(
        0,
        0,
        b"",
        (0, 0, False),
        codec,
        0,
        None,
        lambda _: None,
        done_event=target.dialect.done_event,
    )
    request.keep_text, request.http_status = True, 200
    try:
        request.on_body(body, 0)
        request.complete(0)
    except ValueError as error:
        request.end(0, Status.BROKEN, f"unreadable response: {error}")
    empty = request.status is Status.EMPTY and request.n_out > 0
    return Generated(
        text="".join(request.text),
        reasoning="".join(request.reasoning),
        tool_calls="".join(request.tool_calls),
        tokens=len(request.timestamps),
        n_in=None if request.n_in == ABSENT else request.n_in,
        n_out=None if request.n_out == ABSENT else request.n_out,
        error=None if empty else request.error,
    )


def _failed(error: str) -> Generated:
    return Generated(text="", tokens=0, n_in=None, n_out=None, error=error)
