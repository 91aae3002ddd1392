"""The adapter's pure functions, with rows from a real lm-eval (data/README.md)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import attrs
import pytest
from tokenbench_eval_lmeval.adapter import HarnessEval, HarnessTask, samples_of, variant_of
from tokenbench_eval_lmeval.plugin import bench_register_evals

from tokenbench.api import EvalSample, FrozenMap, PluginContext, PluginError, Question, UsageError

ROWS = json.loads((Path(__file__).parent / "data" / "rows.json").read_text())
TASK = HarnessTask(name="tokenbench_sums")


def ask(*ids: str) -> list[Question]:
    """Questions with these ids."""
    return [Question(id=one, text="") for one in ids]


def test_one_sample_per_question_in_the_order_of_the_batch() -> None:
    """The harness's rows are sorted, and there is one per filter."""
    samples = samples_of(ROWS, ask("3", "0", "2"), TASK, "v")
    assert [sample.question for sample in samples] == ["3", "0", "2"]
    answers = {str(row["doc_id"]): row["resps"][0][0] for row in ROWS}
    assert [sample.answer for sample in samples] == [answers[one] for one in ("3", "0", "2")]


def test_the_first_metric_is_the_default() -> None:
    """Two filters grade one answer differently; the option selects one."""
    named = attrs.evolve(TASK, metric="exact_match,last-number")
    (first,) = samples_of(ROWS, ask("2"), TASK, "v")
    (last,) = samples_of(ROWS, ask("2"), named, "v")
    assert (first.score, first.details["metric"]) == (0.0, "exact_match,first-number")
    assert (last.score, last.details["metric"]) == (1.0, "exact_match,last-number")
    assert last.details["filtered"] == "7"


def test_an_unknown_metric_is_a_usage_error() -> None:
    """The hint lists the task's metrics."""
    with pytest.raises(UsageError) as caught:
        samples_of(ROWS, ask("2"), attrs.evolve(TASK, metric="f1,none"), "v")
    assert "exact_match,first-number; exact_match,last-number" in caught.value.hint


def test_a_skipped_question_is_an_error() -> None:
    """The harness returned no row for it."""
    with pytest.raises(PluginError, match="skipped 1 questions"):
        samples_of(ROWS, ask("2", "9"), TASK, "v")


def test_score_is_the_mean() -> None:
    """With the metric and variant of the samples."""
    samples = samples_of(ROWS, ask("0", "2", "3"), TASK, "tokenbench_sums v2.0")
    score = HarnessEval(TASK).score(samples)
    assert (score.n, score.correct, score.value) == (3, 1.0, pytest.approx(1 / 3))
    assert (score.metric, score.variant) == ("exact_match,first-number", "tokenbench_sums v2.0")
    assert HarnessEval(TASK).score([]).n == 0


def test_an_ungraded_sample_is_an_error() -> None:
    """It does not count as wrong."""
    with pytest.raises(PluginError, match="no grade"):
        HarnessEval(TASK).score([EvalSample(question="0", answer="4")])


def test_the_variant_has_version_and_examples() -> None:
    """Both affect scores."""
    config = SimpleNamespace(metadata={"version": 3.0}, num_fewshot=8)
    assert variant_of("gsm8k_cot", config) == "gsm8k_cot v3.0, 8-shot"
    assert variant_of("x", SimpleNamespace(metadata=None, num_fewshot=None)) == "x vunknown, 0-shot"


def test_creating_the_eval_imports_no_harness() -> None:
    """In a fresh interpreter; runs without evals do not import lm_eval."""
    code = (
        "import sys; from tokenbench_eval_lmeval.plugin import *;"
        "(spec,) = bench_register_evals();"
        "made = spec.factory(spec.options(task='x'), PluginContext());"
        "assert made.needs().context_tokens == 4096;"
        "print(sorted({'lm_eval', 'datasets', 'torch', 'requests'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_options_reach_the_task() -> None:
    """As arguments of HarnessTask."""
    (spec,) = bench_register_evals()
    made = spec.factory(
        spec.options(task="a", include="b", metric="c", max_tokens=5, limit=2), PluginContext()
    )
    assert made.needs().context_tokens == 4096
    assert made._task == HarnessTask(
        name="a", include="b", metric="c", max_tokens=5, context_tokens=4096, overrides=FrozenMap()
    )
