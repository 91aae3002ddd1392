"""Whole answers: reasoning, tool calls and the reason of the end, also after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest
from answering_server import AnsweringServer, Said

from tokenbench.api import Answer, ChatPrompt, Dialect, Generation, Message, ToolCall
from tokenbench.evals.server import HttpEvalServer
from tokenbench.evals.worker import EvalJob
from tokenbench.guard.owner import Owner

SAID = {
    "think": Said("It is 4.", reasoning="Two and two."),
    "call": Said("", calls=(("book_room", '{"floor": 3}'), ("send_report", "{}"))),
    "long": Said("One two three", finish="length"),
}
EXPECTED = [
    Answer(text="It is 4.", reasoning="Two and two.", finish="stop", tokens=6),
    Answer(
        text="",
        tool_calls=(
            ToolCall(name="book_room", arguments='{"floor": 3}'),
            ToolCall(name="send_report", arguments="{}"),
        ),
        finish="tool_calls",
        tokens=2,
    ),
    Answer(text="One two three", finish="length", tokens=3),
]


def job(url: str, folder: Path) -> EvalJob:
    """A job that asks this server."""
    return EvalJob(
        module="none",
        options={},
        seed=0,
        base_url=url,
        model="known",
        codec="openai-chat",
        codec_module=None,
        dialect=Dialect(),
        concurrency=3,
        scratch=str(folder),
        samples=str(folder / "samples.jsonl"),
        owner=Owner("eval", "none"),
    )


@pytest.mark.covers("EvalClient.answers")
def test_answers_are_whole_and_kept(tmp_path: Path) -> None:
    """Each with all that the server said of it. A second process asks nothing again."""
    requests = [
        Generation(prompt=ChatPrompt((Message("user", text),)), max_tokens=64) for text in SAID
    ]
    with AnsweringServer(SAID.__getitem__) as server:
        first = HttpEvalServer(job(server.url, tmp_path))
        assert list(first.answers(requests)) == EXPECTED
        again = HttpEvalServer(job(server.url, tmp_path))
        assert list(again.answers(requests)) == EXPECTED
        assert len(server.questions) == len(requests)
        assert list(first.generate(requests[:1])) == ["It is 4."]
