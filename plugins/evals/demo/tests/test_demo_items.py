"""The items: enough, sound, and tied to the variant's name."""

from __future__ import annotations

import hashlib
from importlib import resources

from tokenbench_eval_demo.grading import is_right
from tokenbench_eval_demo.task import VARIANT, items

# SHA-256 of items.jsonl by variant. Scores of different items cannot be compared: whoever changes
# an item gives the variant a new name, measures the threshold anew, and adds a line here.
DIGESTS = {"demo-1": "8adf3a678ed86a3384ad9562ffeb5cef1c8899deaacf96440fc183edb307882a"}


def test_enough_items_with_distinct_ids_and_questions() -> None:
    """A gate needs many questions; a repeated one would count twice."""
    found = items()
    assert len(found) >= 240
    assert len({item.id for item in found}) == len(found)
    assert len({item.question for item in found}) == len(found)


def test_no_question_gives_its_answer_away() -> None:
    """A model that repeats the question must score nothing."""
    assert [item.id for item in items() if is_right(item.question, item.answers)] == []


def test_each_answer_is_right() -> None:
    """Every accepted answer passes its own grading, so none is unreachable."""
    bad = [(i.id, a) for i in items() for a in i.answers if not is_right(f"It is {a}.", i.answers)]
    assert bad == []
    assert all(item.answers for item in items())


def test_no_answer_fits_most_questions() -> None:
    """Saying the same all the time gains little: the best constant answer is right in few items."""
    found = items()
    every = {answer for item in found for answer in item.answers}
    best = max(sum(is_right(answer, item.answers) for item in found) for answer in every)
    assert best / len(found) < 0.05


def test_items_belong_to_their_variant() -> None:
    """The variant's name changes whenever the items do."""
    file = resources.files("tokenbench_eval_demo").joinpath("items.jsonl")
    assert DIGESTS[VARIANT] == hashlib.sha256(file.read_bytes()).hexdigest()
