"""The tokenize endpoint that some servers have beside the OpenAI API."""

from __future__ import annotations

import json
from collections.abc import Callable

from tokenbench.api import Reply

_PATH = "/tokenize"
_TRIAL = "the cat and the dog"


def find_tokenize(
    post: Callable[[str, object], Reply], model: str
) -> Callable[[str], int | None] | None:
    """A function that counts tokens with the server's tokenize endpoint; None if it has none.

    The function returns None if the server does not answer. vLLM takes `prompt` (its class
    `TokenizeCompletionRequest`, read 2026-11), llama.cpp takes `content` (tested with xllamacpp
    2026.10.11549); both return the list `tokens`.
    """
    forms: tuple[tuple[str, dict[str, object]], ...] = (
        ("prompt", {"model": model, "add_special_tokens": False}),
        ("content", {"add_special": False}),
    )
    for field, rest in forms:

        def count(text: str, field: str = field, rest: dict[str, object] = rest) -> int | None:
            return _count(post, {field: text, **rest})

        # llama.cpp answers a request without `content` with an empty list.
        if count(_TRIAL):
            return count
    return None


def _count(post: Callable[[str, object], Reply], body: object) -> int | None:
    try:
        reply = post(_PATH, body)
        page = json.loads(reply.text) if reply.status == 200 else None
    except (ConnectionError, ValueError):
        return None
    tokens = page.get("tokens") if isinstance(page, dict) else None
    return len(tokens) if isinstance(tokens, list) else None
