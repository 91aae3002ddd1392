"""Scores of answers captured from real servers, and sampling."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenbench_eval_demo.plugin import DemoOptions, bench_register_evals
from tokenbench_eval_demo.task import VARIANT, DemoEval, items

from tokenbench.api import EvalSample, EvalScore, PluginContext

DATA = Path(__file__).parent / "data"


def captured(name: str) -> list[EvalSample]:
    """The answers of one real server (data/README.md)."""
    lines = (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [EvalSample(**json.loads(line)) for line in lines]


def scored(name: str) -> EvalScore:
    """The score of captured answers to all items."""
    samples = captured(name)
    assert [sample.question for sample in samples] == [item.id for item in items()]
    return DemoEval(DemoOptions()).score(samples)


def test_healthy_answers_have_the_stated_score() -> None:
    """The score in the README."""
    score = scored("healthy")
    assert score.variant == VARIANT
    assert score.n == len(items())
    assert score.value == pytest.approx(0.785, abs=0.0005)
    assert score.value == pytest.approx(score.correct / score.n)


@pytest.mark.parametrize(
    ("name", "stated"),
    [("noroles", 0.288), ("llama2", 0.035), ("flipped", 0.0)],
)
def test_damaged_answers_have_the_stated_score(name: str, stated: float) -> None:
    """The scores in the README."""
    assert scored(name).value == pytest.approx(stated, abs=0.0005)


def test_score_is_the_fraction_of_right_answers() -> None:
    """Without samples n is 0."""
    first, second = items()[:2]
    samples = [
        EvalSample(question=first.id, answer=first.answers[0]),
        EvalSample(question=second.id, answer="nothing"),
    ]
    score = DemoEval(DemoOptions()).score(samples)
    assert (score.value, score.n, score.correct) == (0.5, 2, 1.0)
    assert DemoEval(DemoOptions()).score([]).n == 0


def test_sampling_follows_the_seed() -> None:
    """A limit selects distinct items by seed; a limit above the total selects all."""
    drawn = [q.id for q in DemoEval(DemoOptions(limit=40)).questions(7)]
    assert len(set(drawn)) == 40
    assert drawn == [q.id for q in DemoEval(DemoOptions(limit=40)).questions(7)]
    assert drawn != [q.id for q in DemoEval(DemoOptions(limit=40)).questions(8)]
    every = [item.id for item in items()]
    assert [q.id for q in DemoEval(DemoOptions()).questions(7)] == every
    assert [q.id for q in DemoEval(DemoOptions(limit=9999)).questions(7)] == every


def test_the_spec() -> None:
    """Its summary has the number of items; its factory creates the eval."""
    (spec,) = bench_register_evals()
    assert spec.name == "demo"
    assert str(len(items())) in spec.summary
    assert isinstance(spec.factory(spec.options(limit=3), PluginContext()), DemoEval)
