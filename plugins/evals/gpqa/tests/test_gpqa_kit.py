"""The eval `gpqa` passes the conformance kit, with invented questions (data/invented.csv)."""

from __future__ import annotations

from pathlib import Path

from tokenbench_eval_gpqa.data import read_items
from tokenbench_eval_gpqa.task import LETTERS, asked

from tokenbench.api import EvalSample, FrozenMap, Question
from tokenbench_testing import EvalKit

DATA = Path(__file__).parent / "data" / "invented.csv"
_ITEM = read_items(DATA)[0]
_QUESTION = Question(id=_ITEM.id, text=_ITEM.question, stratum=_ITEM.domain)
_RIGHT = asked(_ITEM, 0).right
_WRONG = LETTERS[LETTERS.index(_RIGHT) - 1]


def _answered(*answers: str) -> tuple[tuple[Question, EvalSample], ...]:
    return tuple((_QUESTION, EvalSample(question=_ITEM.id, answer=text)) for text in answers)


class TestGpqa(EvalKit):
    """Letters in the forms that models use."""

    name = "gpqa"
    options = FrozenMap(data=str(DATA), limit=5)
    right = _answered(
        f"First, a long thought about ({_WRONG}).\nThe answer is ({_RIGHT}).",
        f"**Answer: {_RIGHT}**",
        f"so $\\boxed{{{_RIGHT}}}$",
        _RIGHT,
    )
    wrong = _answered(
        f"The answer is ({_WRONG}).", f"The answer is {_RIGHT}. No: answer is {_WRONG}"
    )
    unparseable = _answered("I cannot tell.", "Neither of them", "E")
