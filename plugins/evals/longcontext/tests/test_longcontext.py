"""The generated texts: length, depths, facts."""

from __future__ import annotations

import collections
import re

import pytest
from tokenbench_eval_longcontext.plugin import LongContextOptions
from tokenbench_eval_longcontext.task import LongContextEval, is_right
from tokenbench_eval_longcontext.text import TOKENS_PER_WORD, hidden


@pytest.mark.parametrize("tokens", [256, 4096, 65536])
def test_texts_have_the_asked_length(tokens: int) -> None:
    """In words, to about a fifth."""
    text = hidden(3, 1, input_tokens=tokens, facts=4).text
    assert 0.75 * tokens < len(text.split()) * TOKENS_PER_WORD < 1.1 * tokens


def test_every_fact_stands_once_and_the_asked_one_at_its_depth() -> None:
    """Over 50 questions: each tenth of a text equally often."""
    depths = collections.Counter()
    for number in range(50):
        made = hidden(number, 5, input_tokens=2000, facts=8)
        facts = re.findall(r"The secret number of ([A-Z]\w+(?: \w+)?) is (\d+)\.", made.text)
        assert len(facts) == 8 == len({place for place, _ in facts})
        assert (made.place, str(made.number)) in facts
        place = made.text.index(f"of {made.place} is") / len(made.text)
        assert abs(place - (made.depth + 0.5) / 10) < 0.12
        depths[made.depth] += 1
    assert set(depths.values()) == {5}


def test_texts_differ_between_questions_and_seeds() -> None:
    """A prefix cache does not help; the same arguments give the same text."""
    asked = {
        (number, seed): hidden(number, seed, input_tokens=300, facts=2).text[:60]
        for number in range(10)
        for seed in range(3)
    }
    assert len(set(asked.values())) > 25
    again = hidden(4, 2, input_tokens=300, facts=2)
    assert again == hidden(4, 2, input_tokens=300, facts=2)


def test_the_context_has_room_for_the_longest_prompt() -> None:
    """With a fifth more than asked, and the answer."""
    needs = LongContextEval(LongContextOptions(input_tokens=1000, max_tokens=50)).needs()
    assert needs.context_tokens == 1200 + 128 + 50


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("12345", True),
        ("12 345", True),
        ("the 12,345.", True),
        ("<think>1 or 2</think>12345", True),
        ("123456", False),
        ("12345 or 6", False),
        ("", False),
    ],
)
def test_an_answer_names_one_number(answer: str, right: bool) -> None:
    """Separators do not matter; a list of numbers is wrong."""
    assert is_right(answer, 12345) is right
