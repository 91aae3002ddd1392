"""The journal: answers of the batch in progress."""

from __future__ import annotations

import json
from pathlib import Path

from tokenbench.api import Answer, FrozenMap, Generation, TextPrompt, ToolCall
from tokenbench.evals.journal import Journal


def ask(text: str, **more: object) -> Generation:
    """A request."""
    return Generation(prompt=TextPrompt(text), max_tokens=4, **more)  # type: ignore[arg-type]


def said(text: str) -> Answer:
    """A whole answer."""
    return Answer(
        text=text,
        reasoning="because",
        tool_calls=(ToolCall(name="f", arguments="{}"),),
        finish="stop",
        tokens=3,
    )


ONE, THREE, X, Y = map(said, ("one", "three", "x", "y"))


def test_answers_survive_the_process(tmp_path: Path) -> None:
    """Failures do not: the next process asks again. An incomplete line is ignored."""
    journal = Journal(tmp_path / "answers.jsonl")
    journal.keep(ask("a"), (ONE, None))
    journal.keep(ask("b"), (None, "HTTP 503"))
    with journal._file.open("ab") as file:
        file.write(b'{"request": "ab')
    again = Journal(tmp_path / "answers.jsonl")
    assert again.take(ask("a")) == (ONE, None)
    assert again.take(ask("b")) is None
    again.keep(ask("c"), (THREE, None))
    assert Journal(tmp_path / "answers.jsonl").take(ask("c")) == (THREE, None)
    again.clear()
    # Responses stay, also when the batch has become samples.
    lines = (tmp_path / "responses.jsonl").read_text().splitlines()
    assert [json.loads(line)["answer"]["text"] for line in lines] == ["one", "three"]


def test_the_same_request_has_as_many_answers_as_were_asked_for(tmp_path: Path) -> None:
    """Each is taken once per attempt; a second attempt takes them again, failures too."""
    journal = Journal(tmp_path / "answers.jsonl")
    for reply in ((X, None), (None, "failed"), (Y, None)):
        journal.keep(ask("a", temperature=1.0), reply)
    assert journal.take(ask("a", temperature=1.0)) is None
    for _ in range(2):
        journal.rewind()
        taken = [journal.take(ask("a", temperature=1.0)) for _ in range(4)]
        assert taken == [(X, None), (None, "failed"), (Y, None), None]


def test_other_settings_are_another_request(tmp_path: Path) -> None:
    """All fields count."""
    journal = Journal(tmp_path / "answers.jsonl")
    journal.keep(ask("a"), (ONE, None))
    journal.rewind()
    for other in (
        ask("a", stop=("x",)),
        ask("a", temperature=0.1),
        ask("a", seed=1),
        ask("a", extra_body=FrozenMap({"top_p": 0.5})),
    ):
        assert journal.take(other) is None


def test_what_became_a_sample_is_not_used_again(tmp_path: Path) -> None:
    """Neither in this process nor in the next."""
    journal = Journal(tmp_path / "answers.jsonl")
    journal.keep(ask("a"), (ONE, None))
    journal.commit()
    journal.rewind()
    assert journal.take(ask("a")) is None
    journal.clear()
    assert Journal(tmp_path / "answers.jsonl").take(ask("a")) is None
