"""The workload `conversations`: the conformance kit, forms, answers, salt, pauses."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from tokenbench_workload_conversations.forms import read_conversations
from tokenbench_workload_conversations.plugin import ConversationsOptions
from tokenbench_workload_conversations.workload import ConversationsWorkload

from tokenbench.api import (
    ChatPrompt,
    FrozenMap,
    ImagePart,
    Message,
    Session,
    TextPart,
    TextPrompt,
    ToolCall,
    Turn,
    TurnResult,
    UsageError,
    WorkloadContext,
)
from tokenbench_testing import WorkloadKit
from tokenbench_testing.samples.prompts import SampleTokenizer

CHAT = WorkloadContext(tokenizer=SampleTokenizer(), token_ids=False, chat=True)
SHAREGPT = {
    "id": "x",
    "conversations": [
        {"from": "gpt", "value": "left over"},
        {"from": "human", "value": "first"},
        {"from": "gpt", "value": " bad dad"},
        {"from": "human", "value": "second"},
        {"from": "gpt", "value": " bad"},
    ],
}
WILDCHAT = {
    "conversation_hash": "y",
    "conversation": [
        {"role": "user", "content": "first", "toxic": False},
        {"role": "assistant", "content": " bad dad"},
        {"role": "user", "content": "second"},
        {"role": "assistant", "content": " bad"},
    ],
}
CALL = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
OPENAI = {
    "messages": [
        {"role": "system", "content": "be brief"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "a", "content": "a cat"},
        {"role": "assistant", "content": "It is a cat."},
    ],
    "tools": [{"type": "function", "function": {"name": "look", "parameters": {"a": [1, None]}}}],
}


class TestSample(WorkloadKit):
    """The generated sample, with a new word in each session."""

    name = "conversations"
    options = FrozenMap(salt="session", think_s=0.5)


class TestLive(WorkloadKit):
    """Later turns quote the server's answers."""

    name = "conversations"
    options = FrozenMap(answers="live", output_tokens=5)


def _file(folder: Path, *rows: Any, name: str = "chats.jsonl") -> str:
    file = folder / name
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(file)


def _session(file: str, context: WorkloadContext = CHAT, **options: Any) -> Session:
    workload = ConversationsWorkload(ConversationsOptions(file=file, **options))
    return next(iter(workload.sessions(context, 1)))


def _next(
    session: Session, *, number: int | None = None, text: str = "said", ok: bool = True
) -> Any:
    previous = None if number is None else TurnResult(number=number, ok=ok, text=text)
    return session.next(previous)


def _said(turn: Turn) -> list[tuple[str, str]]:
    assert isinstance(turn.prompt, ChatPrompt)
    return [(message.role, message.text) for message in turn.prompt.messages]


@pytest.mark.parametrize("row", [SHAREGPT, WILDCHAT], ids=["sharegpt", "wildchat"])
def test_turns_of_a_conversation(tmp_path: Path, row: dict[str, Any]) -> None:
    """Each sends everything up to a question; limits are the lengths of the recorded answers."""
    session = _session(_file(tmp_path, row))
    first = _next(session)
    assert (_said(first), first.max_tokens) == ([("user", "first")], 2)
    second = _next(session, number=0)
    expected = [("user", "first"), ("assistant", " bad dad"), ("user", "second")]
    assert (_said(second), second.max_tokens) == (expected, 1)
    assert _next(session, number=1) is None


def test_live_answers(tmp_path: Path) -> None:
    """The server's answer replaces the recorded one."""
    session = _session(_file(tmp_path, SHAREGPT), answers="live")
    _next(session)
    assert _said(_next(session, number=0, text="mine"))[1] == ("assistant", "mine")


def test_a_failed_turn_ends_the_conversation(tmp_path: Path) -> None:
    """Its answer is missing."""
    session = _session(_file(tmp_path, SHAREGPT))
    _next(session)
    assert _next(session, number=0, ok=False) is None


def test_images_tools_and_calls(tmp_path: Path) -> None:
    """As OpenAI messages have them; the result of a tool is a question, too."""
    file = _file(tmp_path, OPENAI)
    session = _session(file)
    first = _next(session)
    assert first.prompt.messages[1].content == (
        TextPart("see"),
        ImagePart("data:image/png;base64,AA"),
    )
    (tool,) = first.prompt.tools
    assert tool["function"]["parameters"]["a"] == (1, None)
    second = _next(session, number=0)
    assert second.prompt.messages[2:] == (
        Message("assistant", "", (ToolCall(id="a", name="look", arguments="{}"),)),
        Message("tool", "a cat", tool_call_id="a"),
    )
    with pytest.raises(UsageError, match="need a chat endpoint"):
        _session(file, attrs.evolve(CHAT, chat=False))


def test_without_chat_messages_are_text(tmp_path: Path) -> None:
    """One after the other, with the assistant's turn to speak."""
    session = _session(_file(tmp_path, WILDCHAT), attrs.evolve(CHAT, chat=False))
    _next(session)
    turn = _next(session, number=0)
    assert turn.prompt == TextPrompt("user: first\nassistant:  bad dad\nuser: second\nassistant:")


def test_salt(tmp_path: Path) -> None:
    """One word for all sessions of a seed, or one for each."""
    rows = [{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}]
    file = _file(tmp_path, *rows * 3)
    for salt, different in (("none", 1), ("repeat", 1), ("session", 6)):
        workload = ConversationsWorkload(ConversationsOptions(file=file, salt=salt))
        sessions = itertools.islice(workload.sessions(CHAT, 1), 6)
        firsts = {_said(_next(session))[0] for session in sessions}
        assert len(firsts) == different
        assert firsts == {("user", "q")} if salt == "none" else ("user", "q") not in firsts


def test_pauses_and_limits(tmp_path: Path) -> None:
    """Exponential, at most the cap, none before the first turn."""
    session = _session(_file(tmp_path, SHAREGPT), think_s=1000.0, think_cap_s=3.0, most_turns=2)
    assert _next(session).delay_s == 0.0
    assert 0 < _next(session, number=0).delay_s <= 3.0
    only = _session(_file(tmp_path, SHAREGPT), most_turns=1)
    _next(only)
    assert _next(only, number=0) is None


def test_sessions_that_begin_inside(tmp_path: Path) -> None:
    """Their first prompt has what was said before."""
    workload = ConversationsWorkload(ConversationsOptions(file=_file(tmp_path, SHAREGPT)))
    context = attrs.evolve(CHAT, begin_inside=20)
    found = [
        len(_said(_next(session)))
        for session in itertools.islice(workload.sessions(context, 1), 40)
    ]
    assert set(found[:20]) == {1, 3} and set(found[20:]) == {1}


def test_files_and_folders(tmp_path: Path) -> None:
    """A JSON array, JSON lines, a folder of both; the hash is that of the contents."""
    array = tmp_path / "b.json"
    array.write_text(json.dumps([SHAREGPT, WILDCHAT]))
    lines = Path(_file(tmp_path, OPENAI))
    assert [len(read_conversations((file,), "auto")) for file in (array, lines)] == [2, 1]
    folder = ConversationsWorkload(ConversationsOptions(file=str(tmp_path)))
    one = ConversationsWorkload(ConversationsOptions(file=str(array)))
    assert len({folder.dataset_hash(), one.dataset_hash()}) == 2
    before = one.dataset_hash()
    renamed = array.rename(tmp_path / "c.json")
    assert ConversationsWorkload(ConversationsOptions(file=str(renamed))).dataset_hash() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot read"),
        ('{"texts": []}', "conversation 1: ValueError: none of the keys conversations"),
        ('{"messages": [{"role": "clown", "content": "x"}]}', "KeyError: 'clown'"),
        ('{"messages": [{"role": "user", "content": "x"}]}', "no conversation with an answer"),
        (
            '{"messages": [{"role": "user", "content": [{"type": "audio"}]}]}',
            "a part of type 'audio'",
        ),
    ],
)
def test_what_is_no_conversation_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """With the file, the number of the conversation and the reason."""
    file = tmp_path / "x.jsonl"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        _session(str(file))
