"""The demo gate: the sound model passes, a damaged template or damaged weights fail it."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
from tokenbench_eval_demo.grading import is_right
from tokenbench_eval_demo.task import items
from tokenbench_model_smollm2.plugin import THRESHOLDS

from tokenbench.measure.accuracy import wilson

ANSWERS = Path(__file__).parent.parent / "plugins/evals/demo/tests/data/smollm2_q4_1_answers.jsonl"
ASKED = 40
WORKLOAD = ("--workload", "random:input_tokens=200,output_tokens=8", "--requests", "1")
GATE = (*WORKLOAD, "--eval", f"demo:limit={ASKED}", "--allow-invalid")


def test_the_threshold_follows_from_the_measured_answers() -> None:
    """99.9 % of samples of 40 of the sound model's answers reach it with their whole interval."""
    accepted = {item.id: item.answers for item in items()}
    answers = [json.loads(line) for line in ANSWERS.read_text().splitlines()]
    assert len(answers) == len(accepted) == 220
    right = sum(is_right(a["answer"], accepted[a["question"]]) for a in answers)
    total, cumulated, least = len(answers), 0.0, 0
    for k in range(ASKED + 1):
        ways = math.comb(right, k) * math.comb(total - right, ASKED - k)
        cumulated += ways / math.comb(total, ASKED)
        if cumulated > 0.001:
            least = k
            break
    (threshold,) = THRESHOLDS
    assert right == 139
    assert math.floor(wilson(least, ASKED)[0] * 100) / 100 == threshold.minimum


@pytest.mark.real
def test_a_damaged_chat_template_fails(bench, weights: Path) -> None:
    """A template that loses the question: exit code 6."""
    template = bench.folder / "template.jinja"
    template.write_text("{% for m in messages %}<|im_start|>{{ m['role'] }}<|im_end|>{% endfor %}")
    engine = f"llamacpp:chat_template_file={template}"
    done = bench("run", "--engine", engine, "--model", "smollm2", *GATE, timeout_s=200)
    assert done.code == 6, done.err
    assert "the accuracy gate failed: demo" in done.complaint[0]


@pytest.mark.real
def test_damaged_weights_fail(bench, weights: Path) -> None:
    """Noise in a thousandth of the tensor bytes: it still loads, and no longer answers."""
    data = bytearray(weights.read_bytes())
    draw = random.Random(1)
    start = len(data) // 8  # behind the header and the vocabulary
    for _ in range(len(data) // 1000):
        data[draw.randrange(start, len(data))] = draw.randrange(256)
    file = bench.folder / "damaged.gguf"
    file.write_bytes(data)
    args = ("run", "--engine", "llamacpp", "--model", "noisy-file", *GATE)
    done = bench(*args, timeout_s=200, TOKENBENCH_TEST_WEIGHTS=str(file))
    assert done.code == 6, done.err
    assert "the accuracy gate failed: demo" in done.complaint[0]
