"""GPQA: reading files, the order of choices, letters in answers. All questions are invented."""

from __future__ import annotations

import collections
import csv
import json
from pathlib import Path

import pytest
from tokenbench_eval_gpqa.data import DATA_VARIABLE, Item, read_items
from tokenbench_eval_gpqa.plugin import GpqaOptions
from tokenbench_eval_gpqa.task import GpqaEval, asked, chosen

from tokenbench.api import UsageError

DATA = Path(__file__).parent / "data" / "invented.csv"


def test_both_forms_of_files_are_read(tmp_path: Path) -> None:
    """CSV as the authors distribute it, and JSON lines with the same keys."""
    with DATA.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    other = tmp_path / "rows.jsonl"
    other.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_items(other) == read_items(DATA)
    assert len(read_items(DATA)) == 8


def test_the_order_of_choices_depends_on_seed_and_item_alone() -> None:
    """Not on the other questions; the right answer comes at each place about equally often."""
    items = [Item(str(i), "q", "yes", ("no 1", "no 2", "no 3"), "") for i in range(400)]
    assert asked(items[7], 3) == asked(items[7], 3)
    assert [asked(one, 1) for one in items] != [asked(one, 2) for one in items]
    places = collections.Counter(asked(one, 0).right for one in items)
    assert set(places) == set("ABCD")
    assert min(places.values()) > 70
    for one in items[:9]:
        made = asked(one, 0)
        assert f"({made.right}) yes" in made.text
        assert all(f") no {i}" in made.text for i in (1, 2, 3))


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("The answer is (B).", "B"),
        ("the correct answer is: **C**", "C"),
        ("Answer: d", "D"),
        ("The answer is A? No. The answer is (D)", "D"),
        ("Final: \\boxed{\\text{A}}", "A"),
        ("I choose (C) over (B), that is, **A**", "A"),
        ("thinking\n\nB.", "B"),
        ("A good question.", None),
        ("The answer is blue.", None),
        ("", None),
    ],
)
def test_the_letter_of_an_answer(answer: str, letter: str | None) -> None:
    """The last one that is called the answer, however it is written."""
    assert chosen(answer) == letter


def test_a_sample_has_each_domain_in_its_share() -> None:
    """Of 3 physics, 3 chemistry and 2 biology, 4 questions: to one question."""
    shares = {"Physics": 1.5, "Chemistry": 1.5, "Biology": 1.0}
    for seed in range(20):
        chosen_ones = GpqaEval(GpqaOptions(data=str(DATA), limit=4)).questions(seed)
        found = collections.Counter(one.stratum for one in chosen_ones)
        assert found.total() == len({one.id for one in chosen_ones}) == 4
        assert all(abs(found[name] - share) <= 1 for name, share in shares.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.write_text("Question,Correct Answer\na,b\n"), "has no column"),
        (lambda file: file.write_text(""), "has no column 'Question'"),
        (lambda file: file.write_bytes(b"\xff\xfe\x00"), "could not read"),
    ],
)
def test_other_files_are_usage_errors(tmp_path: Path, change, message: str) -> None:
    """The message names what is missing."""
    file = tmp_path / "x.csv"
    change(file)
    with pytest.raises(UsageError, match=message):
        GpqaEval(GpqaOptions(data=str(file))).questions(0)


def test_without_a_file_the_hint_says_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """The data set is gated and not part of the package."""
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    with pytest.raises(UsageError) as caught:
        GpqaEval(GpqaOptions())
    assert "gated" in caught.value.hint and DATA_VARIABLE in caught.value.hint
    with pytest.raises(UsageError, match="no such file"):
        GpqaEval(GpqaOptions(data="absent.csv"))
