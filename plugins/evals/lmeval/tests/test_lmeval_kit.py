"""The eval `lmeval` passes the conformance kit, with the real harness."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tokenbench.api import EvalSample, FrozenMap, Question
from tokenbench_testing import EvalKit

if importlib.util.find_spec("lm_eval") is None:
    pytest.skip("lm-eval is not installed (the extra `harness`)", allow_module_level=True)

_TASKS = Path(__file__).parent / "tasks"
_SUM = Question(id="2", text="What is 3 plus 4?")


def _answered(*answers: str) -> tuple[tuple[Question, EvalSample], ...]:
    return tuple((_SUM, EvalSample(question=_SUM.id, answer=text)) for text in answers)


@pytest.fixture(autouse=True)
def _working_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The task file names its data relative to the working folder."""
    monkeypatch.chdir(_TASKS)


class TestLmEval(EvalKit):
    """Our own task file, in which the last number counts."""

    name = "lmeval"
    options = FrozenMap(
        task="tokenbench_sums", include=str(_TASKS), metric="exact_match,last-number"
    )
    right = _answered("7", "3 plus 4 is 7")
    wrong = _answered("8", "7, or 8")
    unparseable = _answered("seven", "???")
