"""One generation, without measuring: for readiness checks and evals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from tokenbench.api import Access, Codec, Target, Turn
from tokenbench.guard.call import together
from tokenbench.guard.members import owner_of
from tokenbench.launch.control import http_client, status_failure
from tokenbench.launch.failure import compression
from tokenbench.launch.http_failure import failure_text
from tokenbench.launch.secret import redact, secrets

from .answer_text import AnswerText
from .codecs import BUILT_IN
from .openai_facts import ResponseFacts, response_facts
from .rate_limit import STATUS, rate_limit
from .records import ABSENT, Status
from .request_state import NOTHING_ASKED, InFlightRequest, ResponseFormat


@attrs.frozen(kw_only=True)
class Generated:
    """The result of a generation.

    `text` is the answer, without reasoning and tool calls. `error` is None if the answer is
    complete. `facts`: empty unless the codec is a built-in one. `http_status`: None without a
    response; then `lost` is the reason: ``connect``, ``timeout`` or ``broken``. `retry_after`: the
    header of that name.
    """

    text: str
    tokens: int
    n_in: int | None
    n_out: int | None
    error: str | None
    reasoning: str = ""
    tool_calls: str = ""
    http_status: int | None = None
    retry_after: str | None = None
    lost: str | None = None
    facts: ResponseFacts = ResponseFacts()


def generate(
    url: str,
    codec: Codec,
    turn: Turn,
    target: Target,
    api_key: str | None,
    *,
    timeout_s: float,
    access: Access = Access(),  # noqa: B008 - frozen
    on_data: Callable[[], None] = lambda: None,
) -> Generated:
    """Send one turn and wait for its end. Failures are not raised but returned as text, see
    :mod:`tokenbench.launch.failure`.

    Args:
        timeout_s: limit of each read.
        access: how requests reach the server.
        on_data: called for each part of the response.
    """
    import httpx

    request = codec.encode(turn, target)
    try:
        with (
            http_client(url, access, api_key, timeout_s=timeout_s) as client,
            client.stream(
                request.method,
                url.rstrip("/") + access.path(request.path),
                content=request.body,
                headers={"Content-Type": request.content_type, "Accept-Encoding": "identity"},
            ) as reply,
        ):
            body = bytearray()
            for part in reply.iter_bytes():
                body += part
                on_data()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return _failed(failure_text(error, url), lost=_lost(error))
    hidden = secrets(url, access, api_key)
    if reply.status_code != 200:
        # Redacted before it is shortened: half a secret would not be recognised.
        text = status_failure(reply, redact(body.decode(errors="replace"), hidden))
        limit = rate_limit(reply.headers.items()) if reply.status_code == STATUS else ""
        return _failed(
            f"{text} ({limit})" if limit else text,
            http_status=reply.status_code,
            retry_after=reply.headers.get("retry-after"),
        )
    # httpx decompresses it. A load worker does not, because it would measure the decompression.
    compressed = compression(reply.headers.get("content-encoding"), bytes(body))
    if compressed is not None:
        return _failed(compressed, http_status=200)
    answer = together(owner_of(codec), lambda: _read(codec, target, bytes(body)))
    if answer.error is None:
        return answer
    return attrs.evolve(answer, error=redact(answer.error, hidden))


def _lost(error: Exception) -> str:
    import httpx

    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return "connect"
    return "timeout" if isinstance(error, httpx.TimeoutException) else "broken"


def _read(codec: Codec, target: Target, body: bytes) -> Generated:
    """Decode and check a response as a load worker does, except that an answer may be empty."""
    request = InFlightRequest(
        0,
        0,
        b"",
        NOTHING_ASKED,
        ResponseFormat(codec, target.dialect),
        0,
        None,
        lambda _: None,
    )
    answer_text = request.answer_text = AnswerText()
    request.http_status = 200
    try:
        request.on_body(body, 0)
        request.complete(0)
    except ValueError as error:
        request.end(0, Status.BROKEN, f"unreadable response: {error}")
    empty = request.status is Status.EMPTY and request.n_out > 0
    text, reasoning, tool_calls = answer_text.joined()
    return Generated(
        text=text,
        reasoning=reasoning,
        tool_calls=tool_calls,
        tokens=len(request.timestamps),
        n_in=None if request.n_in == ABSENT else request.n_in,
        n_out=None if request.n_out == ABSENT else request.n_out,
        error=None if empty else request.error,
        http_status=200,
        facts=response_facts(body) if codec.name in BUILT_IN else ResponseFacts(),
    )


def _failed(error: str, **more: Any) -> Generated:
    return Generated(text="", tokens=0, n_in=None, n_out=None, error=error, **more)
