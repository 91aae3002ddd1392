"""Decodes the JSON chunks of OpenAI-like streams.

Well-formed chunks are decoded into typed structures. Any other chunk (unexpected types, invalid
Unicode) is decoded once more without types, and the fields that can be understood are used: a
field that the measurement does not need must not fail a request.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from tokenbench.api import StreamEvent

_MAX_ERROR_CHARS = 500
# Finish reasons of an answer that the server aborted, as vLLM, SGLang and OpenRouter send them.
_ABORTED = frozenset({"error", "abort", "aborted", "cancelled"})
# An object without choices and usage but with all keys of one of these sets is an error.
_ERROR_KEYS = ({"message", "code"}, {"message", "type"}, {"message", "status"}, {"detail"})
_SURROGATE = re.compile("[\ud800-\udfff]")


# Optional fields of type Raw have this value, not None: msgspec would decode a union with None.
_NULL = b"null"
_ABSENT = msgspec.Raw(_NULL)


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[msgspec.Raw] | None = None
    function_call: msgspec.Raw = _ABSENT


class _Choice(msgspec.Struct, gc=False):
    index: int | None = None
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None
    token_ids: list[int] | None = None
    error: msgspec.Raw = _ABSENT


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = _ABSENT
    object: str | None = None


_decode = msgspec.json.Decoder(_Chunk).decode
_NOTHING = StreamEvent()
DONE = StreamEvent(done=True)


def classify(event: bytes) -> StreamEvent:
    """The meaning of one chunk.

    Raises:
        ValueError: the event is not JSON.
    """
    if event == b"[DONE]":
        return DONE
    try:
        chunk = _decode(event)
    except ValueError:
        return _classify_untyped(event)
    usage, choices = chunk.usage, chunk.choices or ()
    failed = chunk.error is not _ABSENT and _is_given(chunk.error)
    if failed or not (choices or usage) or chunk.object == "error":
        return _classify_untyped(event)
    for choice in choices:
        if choice.error is not _ABSENT:
            return _classify_untyped(event)
    if len(choices) == 1 and not choices[0].index:
        return _event(choices[0], usage)
    if not choices and usage is not None:
        return _usage_event(usage)
    return _merge([_event(choice, None) for choice in choices], choices, usage)


def _is_given(field: msgspec.Raw) -> bool:
    return bytes(field) != _NULL


def _event(choice: _Choice, usage: _Usage | None) -> StreamEvent:
    text, reasoning, calls, begun = choice.text or "", "", "", 0
    delta = choice.delta
    if delta is not None:
        reasoning = delta.reasoning_content or delta.reasoning or ""
        text += reasoning + (delta.content or delta.refusal or "")
        call = delta.function_call
        if delta.tool_calls or (call is not _ABSENT and _is_given(call)):
            calls, begun = _tool_calls(delta)
    n_tokens = len(choice.token_ids) if choice.token_ids else None
    finish = choice.finish_reason or None
    token = text != "" or calls != "" or n_tokens is not None
    error = f"the server ended the answer: {finish}" if finish in _ABORTED else None
    if usage is None and not (reasoning or calls or error):
        return StreamEvent(token=token, text=text, n_tokens=n_tokens, finish=finish)
    details = usage.prompt_tokens_details if usage is not None else None
    return StreamEvent(
        token=token,
        text=text,
        n_tokens=n_tokens,
        finish=finish,
        error=error,
        reasoning=reasoning,
        tool_calls=calls,
        n_tool_calls=begun,
        n_in=usage.prompt_tokens if usage is not None else None,
        n_out=usage.completion_tokens if usage is not None else None,
        n_cached=details.cached_tokens if details is not None else None,
    )


def _merge(events: list[StreamEvent], choices: Any, usage: _Usage | None) -> StreamEvent:
    """One event of several choices. The answer is that of choice 0."""
    first = next(
        (event for event, choice in zip(events, choices, strict=True) if not choice.index), _NOTHING
    )
    counts = [event.n_tokens for event in events if event.n_tokens is not None]
    of_usage = _NOTHING if usage is None else _usage_event(usage)
    return StreamEvent(
        token=any(event.token for event in events),
        text=first.text,
        reasoning=first.reasoning,
        tool_calls=first.tool_calls,
        n_tool_calls=first.n_tool_calls,
        n_tokens=sum(counts) if counts else None,
        finish=next((event.finish for event in events if event.finish), None),
        error=next((event.error for event in events if event.error), None),
        n_in=of_usage.n_in,
        n_out=of_usage.n_out,
        n_cached=of_usage.n_cached,
    )


def _usage_event(usage: _Usage) -> StreamEvent:
    """Usage without choices: the last chunk with data, with the usage of the whole response."""
    details = usage.prompt_tokens_details
    return StreamEvent(
        n_in=usage.prompt_tokens,
        n_out=usage.completion_tokens,
        n_cached=None if details is None else details.cached_tokens,
        complete=bool(usage.completion_tokens),
    )


def _tool_calls(delta: _Delta) -> tuple[str, int]:
    """Names and arguments of the tool calls in a chunk ("?" if it has neither), and the number of
    calls with a name: those that begin in this chunk.
    """
    calls = [bytes(call) for call in delta.tool_calls or ()]
    if (old := bytes(delta.function_call)) != _NULL:
        calls.append(b'{"function":%b}' % old)
    found, begun = "", 0
    for call in calls:
        function = _field(_load(call), "function")
        name = _text(_field(function, "name"))
        begun += name != ""
        found += name + _text(_field(function, "arguments"))
    return found or ("?" if calls else ""), begun


# -- without types -------------------------------------------------------------------------------


def _classify_untyped(event: bytes) -> StreamEvent:
    if event.strip() in (b"", b"[DONE]"):
        return DONE if event.strip() else _NOTHING
    data = _load(event)
    if not isinstance(data, dict):
        return _NOTHING
    error = _error(data, event)
    if error is not None:
        return StreamEvent(error=error[:_MAX_ERROR_CHARS])
    choices = [_choice(one) for one in _list(data.get("choices")) if isinstance(one, dict)]
    usage = _usage(data["usage"]) if isinstance(data.get("usage"), dict) else None
    if len(choices) == 1 and not choices[0].index:
        return _event(choices[0], usage)
    if not choices:
        return _NOTHING if usage is None else _usage_event(usage)
    return _merge([_event(choice, None) for choice in choices], choices, usage)


def _load(event: bytes) -> Any:
    """The JSON value; invalid UTF-8 becomes U+FFFD.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return json.loads(event.decode(errors="replace"), strict=False)
    except (ValueError, RecursionError):
        raise ValueError(f"not JSON: {event[:80].decode(errors='replace')}") from None


def _error(data: dict[str, Any], event: bytes) -> str | None:
    """The error that a chunk reports, as the server worded it; None if there is none."""
    message = _json_text(data.get("message"))
    if data.get("error"):
        return _error_text(data["error"])
    if data.get("object") == "error" or data.get("type") == "error":
        return message or event.decode(errors="replace")
    if data.get("choices") is None and not data.get("usage"):
        keys = {key for key, value in data.items() if value is not None}
        if any(needed <= keys for needed in _ERROR_KEYS):
            return message or _json_text(data.get("detail"))
    errors = (_field(choice, "error") for choice in _list(data.get("choices")))
    return next((_error_text(error) for error in errors if error), None)


def _error_text(error: Any) -> str:
    return _json_text(error) or "unknown error"


def _json_text(value: Any) -> str:
    """A string as it is, other values as JSON; empty for None."""
    if value is None or isinstance(value, str):
        return _text(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _choice(data: dict[str, Any]) -> _Choice:
    delta = data.get("delta")
    return _Choice(
        index=_count(data.get("index")),
        delta=_delta(delta) if isinstance(delta, dict) else None,
        text=_text(data.get("text")),
        finish_reason=_json_text(data.get("finish_reason")),
        token_ids=[0] * len(_list(data.get("token_ids"))),
    )


def _delta(data: dict[str, Any]) -> _Delta:
    content = data.get("content")
    call = data.get("function_call")
    reasoning = _text(data.get("reasoning_content")) or _text(data.get("reasoning"))
    return _Delta(
        content=_parts(content, reasoning=False),
        reasoning_content=reasoning or _parts(content, reasoning=True),
        refusal=_text(data.get("refusal")),
        tool_calls=[_raw(one) for one in _list(data.get("tool_calls"))],
        function_call=_raw(call if isinstance(call, dict) else None),
    )


def _parts(content: Any, *, reasoning: bool) -> str:
    """The text of `content`: a string, or a list of typed parts. Mistral's type ``thinking`` is
    reasoning.
    """
    if not isinstance(content, list):
        return "" if reasoning else _text(content)
    found = ""
    for part in content:
        thinks = any(_text(_field(part, "type")).startswith(kind) for kind in ("think", "reason"))
        if thinks is reasoning:
            inner = next(filter(None, (_field(part, key) for key in ("text", "thinking"))), part)
            found += _parts(inner, reasoning=False)
    return found


def _usage(data: dict[str, Any]) -> _Usage:
    cached = _field(data.get("prompt_tokens_details"), "cached_tokens")
    return _Usage(
        prompt_tokens=_count(data.get("prompt_tokens")),
        completion_tokens=_count(data.get("completion_tokens")),
        prompt_tokens_details=_Details(cached_tokens=_count(cached)),
    )


def _count(value: Any) -> int | None:
    """An integer, also from a float or a string; None for anything else."""
    try:
        number = float(value) if not isinstance(value, int) else value
        return int(number) if number == int(number) and not isinstance(value, bool) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _text(value: Any) -> str:
    """A string without lone surrogates, which cannot be encoded; empty for other types."""
    return _SURROGATE.sub("\ufffd", value) if isinstance(value, str) else ""


def _field(data: Any, name: str) -> Any:
    return data.get(name) if isinstance(data, dict) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())
