"""Reads conversations in the forms that data sets have, see the plugin's README."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from tokenbench.api import (
    FrozenMap,
    ImagePart,
    JsonValue,
    Message,
    Part,
    TextPart,
    ToolCall,
    UsageError,
    freeze,
)

_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant"}
_ROLES |= {"assistant": "assistant", "bing": "assistant", "bard": "assistant", "model": "assistant"}
_ROLES |= {"system": "system", "developer": "system", "tool": "tool", "function": "tool"}
_LISTS = {"sharegpt": "conversations", "wildchat": "conversation", "openai": "messages"}


@attrs.frozen
class Conversation:
    """Messages that begin with the user's or a system message, and schemas of tools."""

    messages: tuple[Message, ...]
    tools: tuple[FrozenMap[JsonValue], ...] = ()

    @property
    def asked(self) -> tuple[int, ...]:
        """Indices of the messages that an answer follows."""
        pairs = zip(self.messages, self.messages[1:], strict=False)
        return tuple(
            index
            for index, (one, other) in enumerate(pairs)
            if other.role == "assistant" and one.role != "assistant"
        )


def read_conversations(files: tuple[Path, ...], form: str) -> tuple[Conversation, ...]:
    """All conversations with at least one answer.

    Raises:
        UsageError: a file cannot be read or has another form, or there is no conversation.
    """
    found = []
    for file in files:
        for number, row in enumerate(_rows(file), 1):
            try:
                conversation = _conversation(row, form)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise UsageError(
                    f"conversations: {file}: conversation {number}: {type(error).__name__}: "
                    f"{error}",
                    hint="name the form with form=, or repair the file",
                ) from None
            if conversation.asked:
                found.append(conversation)
    if not found:
        raise UsageError(
            "conversations: the file has no conversation with an answer", hint="name another file"
        )
    return tuple(found)


def _rows(file: Path) -> Iterator[Any]:
    try:
        with file.open(encoding="utf-8-sig") as lines:
            start = lines.read(1)
            lines.seek(0)
            if start == "[":
                yield from json.load(lines)
                return
            for line in lines:
                if line.strip():
                    yield json.loads(line)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"conversations: cannot read {file}: {error}",
            hint="a JSON array of conversations, or one conversation a line",
        ) from None


def _conversation(row: dict[str, Any], form: str) -> Conversation:
    key = next((k for k in _LISTS.values() if k in row), "") if form == "auto" else _LISTS[form]
    if not key:
        raise ValueError(f"none of the keys {', '.join(_LISTS.values())}")
    messages = [_message(one) for one in row[key]]
    # Data sets have conversations that begin in the middle.
    while messages and messages[0].role not in ("user", "system"):
        messages.pop(0)
    tools = tuple(map(freeze, row.get("tools") or ()))
    return Conversation(tuple(messages), tools)


def _message(data: dict[str, Any]) -> Message:
    role = _ROLES[str(data["from"] if "from" in data else data["role"]).lower()]
    content = data["value"] if "value" in data else data.get("content")
    calls = tuple(
        ToolCall(
            id=str(call["id"]),
            name=call["function"]["name"],
            arguments=call["function"]["arguments"],
        )
        for call in data.get("tool_calls") or ()
    )
    return Message(role, _content(content), calls, data.get("tool_call_id"))


def _content(content: Any) -> str | tuple[Part, ...]:
    if content is None or isinstance(content, str):
        return content or ""
    parts: list[Part] = []
    for part in content:
        if part["type"] == "text":
            parts.append(TextPart(part["text"]))
        elif part["type"] == "image_url":
            parts.append(ImagePart(part["image_url"]["url"]))
        else:
            raise ValueError(f"a part of type {part['type']!r}")
    return tuple(parts)
