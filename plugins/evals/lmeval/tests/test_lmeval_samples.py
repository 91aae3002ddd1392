"""The adapter's pure part, on rows that a real lm-eval gave (data/README.md)."""

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

from tokenbench.api import EvalSample, FrozenMap, PluginError, Question, UsageError

ROWS = json.loads((Path(__file__).parent / "data" / "rows.json").read_text())
TASK = HarnessTask(name="tokenbench_sums")


def ask(*ids: str) -> list[Question]:
    """Questions with these ids."""
    return [Question(id=one, text="") for one in ids]


def test_one_sample_a_question_in_the_order_asked() -> None:
    """Rows come sorted and once a filter; samples come in the batch's order, once a question."""
    samples = samples_of(ROWS, ask("3", "0", "2"), TASK, "v")
    assert [sample.question for sample in samples] == ["3", "0", "2"]
    answers = {str(row["doc_id"]): row["resps"][0][0] for row in ROWS}
    assert [sample.answer for sample in samples] == [answers[one] for one in ("3", "0", "2")]


def test_the_first_metric_counts_unless_another_is_named() -> None:
    """Two filters of one answer grade it differently; the option decides which counts."""
    named = attrs.evolve(TASK, metric="exact_match,last-number")
    (first,) = samples_of(ROWS, ask("2"), TASK, "v")
    (last,) = samples_of(ROWS, ask("2"), named, "v")
    assert (first.score, first.details["metric"]) == (0.0, "exact_match,first-number")
    assert (last.score, last.details["metric"]) == (1.0, "exact_match,last-number")
    assert last.details["filtered"] == "7"


def test_a_metric_the_task_does_not_have_is_the_users_error() -> None:
    """The error names the metrics that there are."""
    with pytest.raises(UsageError) as caught:
        samples_of(ROWS, ask("2"), attrs.evolve(TASK, metric="f1,none"), "v")
    assert "exact_match,first-number; exact_match,last-number" in caught.value.hint


def test_a_question_left_out_is_noticed() -> None:
    """A document that the harness did not return is an error, not a missing sample."""
    with pytest.raises(PluginError, match="left out 1 questions"):
        samples_of(ROWS, ask("2", "9"), TASK, "v")


def test_score_is_the_mean_with_the_samples_variant() -> None:
    """Scores are averaged; the metric and the variant are those the samples were graded by."""
    samples = samples_of(ROWS, ask("0", "2", "3"), TASK, "tokenbench_sums v2.0")
    score = HarnessEval(TASK).score(samples)
    assert (score.n, score.correct, score.value) == (3, 1.0, pytest.approx(1 / 3))
    assert (score.metric, score.variant) == ("exact_match,first-number", "tokenbench_sums v2.0")
    assert HarnessEval(TASK).score([]).n == 0


def test_an_ungraded_sample_is_no_zero() -> None:
    """A sample without a grade is refused instead of counting as wrong."""
    with pytest.raises(PluginError, match="no grade"):
        HarnessEval(TASK).score([EvalSample(question="0", answer="4")])


def test_variant_says_what_changes_scores() -> None:
    """The task's version and its number of examples are in the variant."""
    config = SimpleNamespace(metadata={"version": 3.0}, num_fewshot=8)
    assert variant_of("gsm8k_cot", config) == "gsm8k_cot v3.0, 8-shot"
    assert variant_of("x", SimpleNamespace(metadata=None, num_fewshot=None)) == "x vunknown, 0-shot"


def test_registering_and_making_imports_no_harness() -> None:
    """A run without evals never pays for lm_eval: in a fresh interpreter it stays unimported."""
    code = (
        "import sys; from tokenbench_eval_lmeval.plugin import *;"
        "(spec,) = bench_register_evals(); made = spec.factory(spec.options(task='x'));"
        "assert made.needs().context_tokens == 4096;"
        "print(sorted({'lm_eval', 'datasets', 'torch', 'requests'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_options_reach_the_task() -> None:
    """The spec's options become the harness task."""
    (spec,) = bench_register_evals()
    made = spec.factory(spec.options(task="a", include="b", metric="c", max_tokens=5, limit=2))
    assert made.needs().context_tokens == 4096
    assert made._task == HarnessTask(
        name="a", include="b", metric="c", max_tokens=5, context_tokens=4096, overrides=FrozenMap()
    )
