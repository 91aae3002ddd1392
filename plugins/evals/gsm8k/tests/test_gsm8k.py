"""GSM8K: options, and the tasks of the real lm-eval with questions from a local file."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenbench_eval_gsm8k.examples import EXAMPLES
from tokenbench_eval_gsm8k.plugin import Gsm8kOptions, bench_register_evals
from tokenbench_eval_gsm8k.task import make

from tokenbench.api import UsageError

ROOT = Path(__file__).resolve().parents[4]
SHARED = ROOT.parent / "shared" / "data" / "evals" / "gsm8k_test.jsonl"
ROW = {"question": "A box holds 3 pens. How many pens do 4 boxes hold?", "answer": "12\n#### 12"}

PRINT_TASKS = """
import json, sys
from tokenbench_eval_gsm8k.plugin import Gsm8kOptions
from tokenbench_eval_gsm8k.task import make

def shown(file, shots):
    made = make(Gsm8kOptions(data=file, shots=shots))
    questions = made.questions(0)
    task = made._harness_task()
    config = task.config
    examples = task.fewshot_context(task.eval_docs[0], config.num_fewshot or 0)
    return {
        "n": len(questions), "first": questions[0].text, "prompt": examples,
        "filters": [one["name"] for one in config.filter_list],
        "stop": config.generation_kwargs["until"], "shots": config.num_fewshot,
    }

print(json.dumps([shown(*one) for one in json.loads(sys.argv[1])]))
"""


def _loaded(asked: list[tuple[str, int]], scratch: Path) -> list[dict[str, Any]]:
    """The tasks of files and shots as the harness loads them, offline, in its own interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", PRINT_TASKS, json.dumps(asked)],
        env={
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            "HF_HOME": str(scratch),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result: list[dict[str, Any]] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Those of our own question by their shots, and that of the published questions as `whole`, if
    they are here; from one process, because importing the harness takes seconds.
    """
    if importlib.util.find_spec("lm_eval") is None:
        pytest.skip("lm-eval is not installed (the extra `harness`)")
    folder = tmp_path_factory.mktemp("gsm8k")
    file = folder / "rows.jsonl"
    file.write_text(json.dumps(ROW) + "\n")
    asked = {f"{shots} shots": (str(file), shots) for shots in (0, 5, 8)}
    asked |= {"whole": (str(SHARED), 0)} if SHARED.exists() else {}
    return dict(zip(asked, _loaded(list(asked.values()), folder / "scratch"), strict=True))


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A file in the data set's format, with our own question."""
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(ROW) + "\n")
    return file


def test_zero_shots_use_the_harness_s_task(tasks: dict[str, dict[str, Any]]) -> None:
    """Prompt, filters and stop strings are the harness's; only the questions are from the file."""
    task = tasks["0 shots"]
    assert task["n"] == 1
    assert task["prompt"] == f"Q: {ROW['question']}\nA: Let's think step by step."
    assert task["filters"] == ["strict-match", "flexible-extract"]
    assert "Q:" in task["stop"]


def test_eight_shots_use_the_task_s_examples(tasks: dict[str, dict[str, Any]]) -> None:
    """The worked examples are in the task file, so no training split is needed."""
    task = tasks["8 shots"]
    assert task["shots"] == 8
    assert task["prompt"].count("The answer is") == 8
    assert task["prompt"].count(ROW["question"]) == 1


def test_five_shots_are_the_same_for_every_question(tasks: dict[str, dict[str, Any]]) -> None:
    """Written for this package: no training split is needed. Their answers are right."""
    task = tasks["5 shots"]
    assert task["shots"] == 5
    assert task["prompt"].count("####") == 5
    assert all(example["question"] in task["prompt"] for example in EXAMPLES)
    assert task["prompt"].endswith(f"Question: {ROW['question']}\nAnswer:")
    for example in EXAMPLES:
        steps = re.findall(r"<<([^=<>]+)=([^<>]+)>>", example["answer"])
        assert all(eval(left) == float(right) for left, right in steps)
        assert example["answer"].endswith(f"#### {steps[-1][1]}")


def test_the_real_test_set_loads(tasks: dict[str, dict[str, Any]]) -> None:
    """All 1,319 questions of the published test file."""
    if not SHARED.exists():
        pytest.skip("no ../shared/data/evals/gsm8k_test.jsonl beside this checkout")
    assert tasks["whole"]["n"] == 1319


def test_missing_data_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without data= and without the variable, the hint names both."""
    monkeypatch.delenv("TOKENBENCH_GSM8K", raising=False)
    with pytest.raises(UsageError) as caught:
        make(Gsm8kOptions())
    assert "TOKENBENCH_GSM8K" in caught.value.hint


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    """The message has its path."""
    with pytest.raises(UsageError, match=r"no such file: .*absent\.jsonl"):
        make(Gsm8kOptions(data=str(tmp_path / "absent.jsonl")))


def test_the_variable_names_the_file(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """data= has precedence over the variable."""
    monkeypatch.setenv("TOKENBENCH_GSM8K", str(rows))
    made = make(Gsm8kOptions())
    assert str(rows.resolve()) in str(made._task.overrides)
    monkeypatch.setenv("TOKENBENCH_GSM8K", "absent.jsonl")
    assert make(Gsm8kOptions(data=str(rows)))._task == made._task


def test_other_numbers_of_shots_are_rejected(rows: Path) -> None:
    """The harness has tasks for 0, 5 and 8."""
    with pytest.raises(UsageError, match="expected 0, 5 or 8, got 3"):
        make(Gsm8kOptions(data=str(rows), shots=3))


def test_context_covers_prompt_and_answer(rows: Path) -> None:
    """It grows with the examples and the output limit."""
    plain = make(Gsm8kOptions(data=str(rows), max_tokens=100, shots=0)).needs().context_tokens
    worked = make(Gsm8kOptions(data=str(rows), max_tokens=100, shots=8)).needs().context_tokens
    assert plain is not None and worked is not None
    assert 100 < plain < worked


def test_registering_imports_no_harness() -> None:
    """Listing plugins must stay fast."""
    code = (
        "import sys, tokenbench_eval_gsm8k.plugin as p; p.bench_register_evals();"
        "print(sorted({'lm_eval', 'datasets', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert [spec.name for spec in bench_register_evals()] == ["gsm8k"]
