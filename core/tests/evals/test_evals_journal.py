"""The journal: answers of the batch in progress."""

from __future__ import annotations

from pathlib import Path

from tokenbench.api import FrozenMap, Generation, TextPrompt
from tokenbench.evals.journal import Journal


def ask(text: str, **more: object) -> Generation:
    """A request."""
    return Generation(prompt=TextPrompt(text), max_tokens=4, **more)  # type: ignore[arg-type]


def test_answers_survive_the_process(tmp_path: Path) -> None:
    """Failures do not: the next process asks again. An incomplete line is ignored."""
    journal = Journal(tmp_path / "answers.jsonl")
    journal.keep(ask("a"), ("one", None))
    journal.keep(ask("b"), ("", "HTTP 503"))
    with journal._file.open("ab") as file:
        file.write(b'{"request": "ab')
    again = Journal(tmp_path / "answers.jsonl")
    assert again.take(ask("a")) == ("one", None)
    assert again.take(ask("b")) is None
    again.keep(ask("c"), ("three", None))
    assert Journal(tmp_path / "answers.jsonl").take(ask("c")) == ("three", None)


def test_the_same_request_has_as_many_answers_as_were_asked_for(tmp_path: Path) -> None:
    """Each is taken once per attempt; a second attempt takes them again, failures too."""
    journal = Journal(tmp_path / "answers.jsonl")
    for reply in (("x", None), ("", "failed"), ("y", None)):
        journal.keep(ask("a", temperature=1.0), reply)
    assert journal.take(ask("a", temperature=1.0)) is None
    for _ in range(2):
        journal.rewind()
        taken = [journal.take(ask("a", temperature=1.0)) for _ in range(4)]
        assert taken == [("x", None), ("", "failed"), ("y", None), None]


def test_other_settings_are_another_request(tmp_path: Path) -> None:
    """All fields count."""
    journal = Journal(tmp_path / "answers.jsonl")
    journal.keep(ask("a"), ("one", None))
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
    journal.keep(ask("a"), ("one", None))
    journal.commit()
    journal.rewind()
    assert journal.take(ask("a")) is None
    journal.clear()
    assert Journal(tmp_path / "answers.jsonl").take(ask("a")) is None
