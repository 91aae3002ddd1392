"""The eval `demo` passes the conformance kit."""

from __future__ import annotations

from tokenbench.api import EvalSample, FrozenMap, Question
from tokenbench_testing import EvalKit

_CAPITAL = Question(id="capitals-00", text="What is the capital of France?")


def _answered(*answers: str) -> tuple[tuple[Question, EvalSample], ...]:
    return tuple((_CAPITAL, EvalSample(question=_CAPITAL.id, answer=text)) for text in answers)


class TestDemo(EvalKit):
    """All questions."""

    name = "demo"
    right = _answered("Paris", "The capital of France is **paris**!", "\n\nIt's Paris.\nOr Lyon.")
    wrong = _answered("London", "Parisian", "Lyon.\nOr Paris.")
    unparseable = _answered("", "???", "\n\n")


class TestSomeOfDemo(EvalKit):
    """A sample of the questions."""

    name = "demo"
    options = FrozenMap(limit=5)
