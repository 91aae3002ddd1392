"""The headers about a rate limit, of a response with status 429."""

from __future__ import annotations

from collections.abc import Iterable

STATUS = 429
# Retry-After: RFC 9110. x-ratelimit-*: OpenAI and Azure; ratelimit-*: an IETF draft;
# anthropic-ratelimit-*: Anthropic. Read 2026-11.
_PREFIXES = ("x-ratelimit-", "ratelimit", "anthropic-ratelimit-", "x-rate-limit-")
_MOST, _LONGEST = 8, 60


def rate_limit(headers: Iterable[tuple[str, str]]) -> str:
    """The headers about the limit as text: ``retry-after: 20, x-ratelimit-limit-requests: 60``."""
    found = [
        f"{name.lower()}: {value.strip()[:_LONGEST]}"
        for name, value in headers
        if name.lower().startswith(("retry-after", *_PREFIXES))
    ]
    return ", ".join(found[:_MOST])


def raw_headers(head: bytes) -> list[tuple[str, str]]:
    """Names and values in the bytes of a response's head."""
    lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    return [(name, value) for name, _, value in (line.partition(":") for line in lines)]
