"""The eval `math500` passes the conformance kit, with our own problems (data/own.jsonl)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenbench_eval_math500.task import verifier_is_installed

from tokenbench.api import EvalSample, FrozenMap, Question
from tokenbench_testing import EvalKit

if not verifier_is_installed():
    pytest.skip("lm-eval[math] is not installed (the extra `harness`)", allow_module_level=True)

_DATA = Path(__file__).parent / "data" / "own.jsonl"
_HALF = Question(id="0", text="What is one half plus one quarter?")


def _answered(*answers: str) -> tuple[tuple[Question, EvalSample], ...]:
    return tuple((_HALF, EvalSample(question=_HALF.id, answer=text)) for text in answers)


class TestMath500(EvalKit):
    """Equivalent answers are right, whatever their form."""

    name = "math500"
    options = FrozenMap(data=str(_DATA), limit=3)
    right = _answered(
        "It is $\\boxed{\\frac{3}{4}}$.",
        "The final answer is $0.75$. I hope it is correct.",
        "$\\boxed{\\dfrac{6}{8}}$",
    )
    wrong = _answered("$\\boxed{\\frac{4}{3}}$", "The final answer is $0.7$. I hope it is correct.")
    unparseable = _answered("Three quarters, I think.", "$\\boxed{")
