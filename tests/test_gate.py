"""The accuracy gate of the demo, end to end. Damaged weights are tested beside the eval."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from tokenbench_eval_demo.grading import is_right
from tokenbench_eval_demo.task import items
from tokenbench_model_smollm2.plugin import THRESHOLDS

from tokenbench.api import Accuracy
from tokenbench.measure.accuracy import judge, wilson

DATA = Path(__file__).parent.parent / "plugins/evals/demo/tests/data"
QUESTIONS = 40
WORKLOAD = ("--workload", "random:input_tokens=200,output_tokens=8", "--requests", "1")
GATE = (*WORKLOAD, "--eval", f"demo:limit={QUESTIONS}", "--allow-invalid")


def _share_of_samples(name: str, verdict: Accuracy, minimum: float) -> float:
    """The share of samples of 40 answers of a server that get this verdict."""
    accepted = {item.id: item.answers for item in items()}
    answers = [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text().splitlines()]
    assert len(answers) == len(accepted)
    right = sum(is_right(a["answer"], accepted[a["question"]]) for a in answers)
    total = len(answers)
    return sum(
        math.comb(right, k) * math.comb(total - right, QUESTIONS - k) / math.comb(total, QUESTIONS)
        for k in range(QUESTIONS + 1)
        if judge(wilson(k, QUESTIONS), minimum) is verdict
    )


def test_threshold_separates_sound_from_damaged_models() -> None:
    """The sound model passes in 97 % of samples and never fails; a damaged one never passes."""
    (threshold,) = THRESHOLDS
    assert _share_of_samples("healthy", Accuracy.PASS, threshold.minimum) > 0.97
    assert _share_of_samples("healthy", Accuracy.FAIL, threshold.minimum) < 1e-6
    for name, fails in (("noroles", 0.75), ("llama2", 0.999), ("flipped", 0.999)):
        assert _share_of_samples(name, Accuracy.FAIL, threshold.minimum) > fails
        assert _share_of_samples(name, Accuracy.PASS, threshold.minimum) < 1e-4


@pytest.mark.real
def test_damaged_chat_template_fails(bench, weights: Path) -> None:
    """A template without the question: exit code 6."""
    template = bench.folder / "template.jinja"
    template.write_text("{% for m in messages %}<|im_start|>{{ m['role'] }}<|im_end|>{% endfor %}")
    engine = f"llamacpp:chat_template_file={template}"
    done = bench("run", "--engine", engine, "--model", "smollm2", *GATE, timeout_s=200)
    assert done.code == 6, done.err
    assert "the accuracy gate failed: demo" in done.complaint[0]
