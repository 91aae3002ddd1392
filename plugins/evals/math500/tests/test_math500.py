"""MATH-500: options, and that listing plugins imports no harness."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tokenbench_eval_math500.plugin import Math500Options, bench_register_evals
from tokenbench_eval_math500.task import make

from tokenbench.api import UsageError

OWN = Path(__file__).parent / "data" / "own.jsonl"


def test_missing_data_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without data= and without the variable, the hint names both."""
    monkeypatch.delenv("TOKENBENCH_MATH500", raising=False)
    with pytest.raises(UsageError) as caught:
        make(Math500Options())
    assert "TOKENBENCH_MATH500" in caught.value.hint
    with pytest.raises(UsageError, match=r"no such file: .*absent\.jsonl"):
        make(Math500Options(data="absent.jsonl"))
    monkeypatch.setenv("TOKENBENCH_MATH500", str(OWN))
    assert str(OWN) in str(make(Math500Options())._task.overrides)


def test_context_covers_prompt_and_answer() -> None:
    """It grows with the output limit."""
    needs = make(Math500Options(data=str(OWN), max_tokens=100)).needs()
    assert needs.context_tokens == 1700


def test_registering_imports_no_harness() -> None:
    """Listing plugins must stay fast."""
    code = (
        "import sys, tokenbench_eval_math500.plugin as p; p.bench_register_evals();"
        "print(sorted({'lm_eval', 'datasets', 'sympy', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert [spec.name for spec in bench_register_evals()] == ["math500"]
