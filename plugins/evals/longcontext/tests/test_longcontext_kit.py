"""The eval `longcontext` passes the conformance kit."""

from __future__ import annotations

from tokenbench_eval_longcontext.text import hidden

from tokenbench.api import EvalSample, FrozenMap, Question
from tokenbench_testing import EvalKit

# The kit's seed is 11; the question's id has it.
_TEXT = hidden(0, 11, input_tokens=400, facts=4)
_QUESTION = Question(id="11-0", text="The first question")
_NUMBER = str(_TEXT.number)


def _answered(*answers: str) -> tuple[tuple[Question, EvalSample], ...]:
    return tuple((_QUESTION, EvalSample(question="11-0", answer=text)) for text in answers)


class TestLongContext(EvalKit):
    """Short texts."""

    name = "longcontext"
    options = FrozenMap(input_tokens=400, facts=4, limit=20)
    right = _answered(
        _NUMBER, f"It is {_NUMBER[:2]},{_NUMBER[2:]}.", f"The number is **{_NUMBER}**"
    )
    wrong = _answered("12", f"Either {_NUMBER} or 54321.", _NUMBER[:-1])
    unparseable = _answered("I do not know.", "...")
