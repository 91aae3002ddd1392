"""The eval's own logic on answers captured from real servers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenbench_eval_demo.plugin import DemoOptions, bench_register_evals
from tokenbench_eval_demo.task import VARIANT, DemoEval, items

from tokenbench.api import EvalSample

DATA = Path(__file__).parent / "data"


def test_captured_answers_give_the_measured_score() -> None:
    """The answers of the sound server: 139 of 220 are right, whatever is changed in the grading."""
    text = (DATA / "smollm2_q4_1_answers.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    samples = [EvalSample(question=row["question"], answer=row["answer"]) for row in rows]
    assert [sample.question for sample in samples] == [item.id for item in items()]
    score = DemoEval(DemoOptions()).score(samples)
    assert (score.n, score.correct, score.variant) == (220, 139.0, VARIANT)
    assert score.value == pytest.approx(139 / 220)


def test_score_counts_each_sample_alone() -> None:
    """One right answer of two is 0.5; no sample at all is 0 of 0, not an error."""
    first, second = items()[:2]
    samples = [
        EvalSample(question=first.id, answer=first.answers[0]),
        EvalSample(question=second.id, answer="nothing"),
    ]
    score = DemoEval(DemoOptions()).score(samples)
    assert (score.value, score.n, score.correct) == (0.5, 2, 1.0)
    assert DemoEval(DemoOptions()).score([]).n == 0


def test_sampling_follows_the_seed() -> None:
    """A limit draws distinct items by seed; without it, or above the total, all are asked."""
    drawn = [q.id for q in DemoEval(DemoOptions(limit=40)).questions(7)]
    assert len(set(drawn)) == 40
    assert drawn == [q.id for q in DemoEval(DemoOptions(limit=40)).questions(7)]
    assert drawn != [q.id for q in DemoEval(DemoOptions(limit=40)).questions(8)]
    every = [item.id for item in items()]
    assert [q.id for q in DemoEval(DemoOptions()).questions(7)] == every
    assert [q.id for q in DemoEval(DemoOptions(limit=9999)).questions(7)] == every


def test_registers_one_light_eval() -> None:
    """The spec makes the eval from its options, and says how many items there are."""
    (spec,) = bench_register_evals()
    assert spec.name == "demo"
    assert str(len(items())) in spec.summary
    assert isinstance(spec.factory(spec.options(limit=3)), DemoEval)
