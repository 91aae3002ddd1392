"""One generation, without measuring: for readiness checks and evals."""

from __future__ import annotations

import attrs

from tokenbench.api import Access, Codec, Target, Turn
from tokenbench.launch.control import http_client
from tokenbench.launch.secret import redact, secrets

from .rate_limit import STATUS, rate_limit
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
    url: str,
    codec: Codec,
    turn: Turn,
    target: Target,
    api_key: str | None,
    *,
    timeout_s: float,
    access: Access = Access(),  # noqa: B008 - frozen
) -> Generated:
    """Send one turn and wait for its end. Errors of the server are returned, not raised."""
    answer = _send(url, codec, turn, target, api_key, timeout_s, access)
    if answer.error is None:
        return answer
    return attrs.evolve(answer, error=redact(answer.error, secrets(url, access, api_key)))


def _send(
    url: str,
    codec: Codec,
    turn: Turn,
    target: Target,
    api_key: str | None,
    timeout_s: float,
    access: Access,
) -> Generated:
    import httpx

    request = codec.encode(turn, target)
    try:
        with http_client(url, access, api_key, timeout_s=timeout_s) as client:
            reply = client.request(
                request.method,
                url.rstrip("/") + access.path(request.path),
                content=request.body,
                headers={"Content-Type": request.content_type},
            )
    except httpx.HTTPError as error:
        return _failed(f"{type(error).__name__}: {error}")
    if reply.status_code != 200:
        limit = rate_limit(reply.headers.items()) if reply.status_code == STATUS else ""
        said = redact(reply.text, secrets(url, access, api_key))[:200]
        return _failed(f"HTTP {reply.status_code}: {said}{limit and f' ({limit})'}")
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
