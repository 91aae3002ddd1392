"""One generation, without measuring: for readiness checks and evals."""

from __future__ import annotations

import attrs

from tokenbench.api import Codec, Target, Turn
from tokenbench.launch.control import tls_context

from .framing import FRAMINGS


@attrs.frozen(kw_only=True)
class Generated:
    """The result of a generation. `error` is None if it is complete and has at least one token."""

    text: str
    tokens: int
    n_in: int | None
    n_out: int | None
    error: str | None


def generate(
    url: str, codec: Codec, turn: Turn, target: Target, api_key: str | None, *, timeout_s: float
) -> Generated:
    """Send one turn and wait for its end. Errors of the server are returned, not raised."""
    import httpx

    request = codec.encode(turn, target)
    headers = {"Content-Type": request.content_type}
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
    except httpx.HTTPError as error:
        return _failed(f"{type(error).__name__}: {error}")
    if reply.status_code != 200:
        return _failed(f"HTTP {reply.status_code}: {reply.text[:200]}")
    return _read(codec, reply.content)


def _read(codec: Codec, body: bytes) -> Generated:
    framing = FRAMINGS[codec.framing]()
    text, tokens = [], 0
    n_in = n_out = error = None
    try:
        for data in [*framing.feed(body), *framing.finish()]:
            event = codec.classify(data)
            tokens += event.token
            text.append(event.text)
            n_in = event.n_in if event.n_in is not None else n_in
            n_out = event.n_out if event.n_out is not None else n_out
            error = event.error or error
    except ValueError as problem:
        error = f"unreadable response: {problem}"
    if error is None and not tokens and not n_out:
        error = "the response has no token"
    return Generated(text="".join(text), tokens=tokens, n_in=n_in, n_out=n_out, error=error)


def _failed(error: str) -> Generated:
    return Generated(text="", tokens=0, n_in=None, n_out=None, error=error)
