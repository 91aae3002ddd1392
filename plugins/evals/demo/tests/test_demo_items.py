"""The items: their number, consistency, and the variant's name."""

from __future__ import annotations

import hashlib
from importlib import resources

from tokenbench_eval_demo.grading import is_right
from tokenbench_eval_demo.task import VARIANT, items

# SHA-256 of items.jsonl by variant. Scores of different items are not comparable: a change of an
# item needs a new variant name, a new measurement of the threshold, and a new line here.
DIGESTS = {"demo-1": "8adf3a678ed86a3384ad9562ffeb5cef1c8899deaacf96440fc183edb307882a"}


def test_enough_items_with_distinct_ids_and_questions() -> None:
    """A repeated question would count twice."""
    found = items()
    assert len(found) >= 240
    assert len({item.id for item in found}) == len(found)
    assert len({item.question for item in found}) == len(found)


def test_no_question_contains_its_answer() -> None:
    """A model that repeats the question scores 0."""
    assert [item.id for item in items() if is_right(item.question, item.answers)] == []


def test_each_accepted_answer_is_right() -> None:
    """By the grading rule."""
    bad = [(i.id, a) for i in items() for a in i.answers if not is_right(f"It is {a}.", i.answers)]
    assert bad == []
    assert all(item.answers for item in items())


def test_no_answer_fits_most_questions() -> None:
    """A constant answer is right for less than 5 % of the items."""
    found = items()
    every = {answer for item in found for answer in item.answers}
    best = max(sum(is_right(answer, item.answers) for item in found) for answer in every)
    assert best / len(found) < 0.05


def test_items_belong_to_their_variant() -> None:
    """Changing an item changes the variant's name."""
    file = resources.files("tokenbench_eval_demo").joinpath("items.jsonl")
    assert DIGESTS[VARIANT] == hashlib.sha256(file.read_bytes()).hexdigest()
