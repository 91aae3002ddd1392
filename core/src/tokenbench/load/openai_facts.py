"""Facts of an OpenAI-like response besides its text. Not used while measuring."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import attrs

from tokenbench.api import ToolCall

from .framing import SseFraming


@attrs.frozen(kw_only=True)
class ResponseFacts:
    """Facts of choice 0. `model` and `finish` are None if the response has none."""

    model: str | None = None
    finish: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()


def response_facts(body: bytes) -> ResponseFacts:
    """The facts of a stream of server-sent events; events that cannot be decoded are skipped."""
    model: str | None = None
    finish: str | None = None
    calls: dict[int, list[str]] = {}
    for event in _events(body):
        model = model or _text(event.get("model")) or None
        for choice in event.get("choices") or ():
            if not isinstance(choice, dict) or choice.get("index"):
                continue
            finish = _text(choice.get("finish_reason")) or finish
            delta = choice.get("delta")
            for call in (delta.get("tool_calls") if isinstance(delta, dict) else None) or ():
                _add(calls, call)
    return ResponseFacts(
        model=model,
        finish=finish,
        tool_calls=tuple(ToolCall(name=one[0], arguments=one[1]) for one in calls.values()),
    )


def _events(body: bytes) -> Iterator[dict[str, Any]]:
    framing = SseFraming()
    for event in (*framing.feed(body), *framing.finish()):
        try:
            data = json.loads(event.decode(errors="replace"), strict=False)
        except (ValueError, RecursionError):
            continue
        if isinstance(data, dict) and isinstance(data.get("choices", []), list):
            yield data


def _add(calls: dict[int, list[str]], call: Any) -> None:
    """A call comes in parts: its name first, then pieces of its arguments."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return
    index = call.get("index")
    parts = calls.setdefault(index if isinstance(index, int) else 0, ["", ""])
    parts[0] += _text(function.get("name"))
    parts[1] += _text(function.get("arguments"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
