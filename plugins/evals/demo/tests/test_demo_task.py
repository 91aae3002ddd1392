"""The eval's own logic on answers captured from real servers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenbench_eval_demo.plugin import DemoOptions, bench_register_evals
from tokenbench_eval_demo.task import VARIANT, DemoEval, items

from tokenbench.api import EvalSample, EvalScore

DATA = Path(__file__).parent / "data"


def captured(name: str) -> list[EvalSample]:
    """The answers of one real server; data/README.md says which."""
    lines = (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [EvalSample(**json.loads(line)) for line in lines]


def scored(name: str) -> EvalScore:
    """The score of captured answers to all items."""
    samples = captured(name)
    assert [sample.question for sample in samples] == [item.id for item in items()]
    return DemoEval(DemoOptions()).score(samples)


def test_healthy_answers_score_well_but_not_all() -> None:
    """The captured answers of the sound server give the score that the README states."""
    score = scored("healthy")
    assert score.variant == VARIANT
    assert score.n == len(items())
    assert score.value == pytest.approx(0.785, abs=0.0005)
    assert score.value == pytest.approx(score.correct / score.n)


@pytest.mark.parametrize(
    ("name", "stated"),
    [("noroles", 0.288), ("llama2", 0.035), ("flipped", 0.0)],
)
def test_damaged_answers_score_far_below(name: str, stated: float) -> None:
    """Answers of servers with a wrong chat template or flipped bits score as the README states."""
    assert scored(name).value == pytest.approx(stated, abs=0.0005)


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
