"""The eval `gsm8k` passes the conformance kit, with our own questions (data/own.jsonl)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tokenbench.api import EvalSample, FrozenMap, Question
from tokenbench_testing import EvalKit

if importlib.util.find_spec("lm_eval") is None:
    pytest.skip("lm-eval is not installed (the extra `harness`)", allow_module_level=True)

_DATA = Path(__file__).parent / "data" / "own.jsonl"
_PENS = Question(id="0", text="A box holds 3 pens. How many pens do 4 boxes hold?")


def _answered(*answers: str) -> tuple[tuple[Question, EvalSample], ...]:
    return tuple((_PENS, EvalSample(question=_PENS.id, answer=text)) for text in answers)


class TestGsm8k(EvalKit):
    """5 shots; the harness takes the last number of an answer."""

    name = "gsm8k"
    options = FrozenMap(data=str(_DATA), limit=3)
    right = _answered("12", "4 times 3 is 12.", "The answer is $12.")
    wrong = _answered("The answer is 7.", "It is 12, no, 13.")
    unparseable = _answered("A dozen, I think.", "???")
