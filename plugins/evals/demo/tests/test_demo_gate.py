"""The gate with real servers: a healthy one passes, damaged ones fail.

27 or more right answers of 40, or 5 or fewer of 20, put the whole 95 % Wilson interval above or
below 0.5.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenbench_eval_demo.plugin import DemoOptions
from tokenbench_eval_demo.task import DemoEval

from tokenbench.api import EvalClient

pytestmark = pytest.mark.real
QUESTIONS, PASSES = 40, 27
FEW, FAILS = 20, 5
Serve = Callable[..., EvalClient]

# The template of another model family (Llama 2), as from a wrong --chat-template.
LLAMA2 = "{% for m in messages %}{{ '<s>[INST] ' + m['content'] + ' [/INST]' }}{% endfor %}"
NO_USER = "{{ '<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n' }}"


def right(server: EvalClient, questions: int) -> float:
    """Number of right answers to a sample of questions."""
    task = DemoEval(DemoOptions(limit=questions))
    return task.score(task.ask(task.questions(0), server)).correct


def test_a_healthy_server_passes(serve: Serve) -> None:
    """It answers enough questions, but not all of them."""
    assert PASSES <= right(serve(), QUESTIONS) < QUESTIONS


@pytest.mark.parametrize("template", [LLAMA2, NO_USER], ids=["llama2", "no-user"])
def test_a_wrong_chat_template_fails(serve: Serve, template: str) -> None:
    """With the same weights."""
    assert right(serve(template=template), FEW) <= FAILS


def test_damaged_weights_fail(serve: Serve, weights: Path, tmp_path: Path) -> None:
    """One bit flipped in 0.01 % of the tensors' bytes; the file still loads."""
    data = bytearray(weights.read_bytes())
    dice = random.Random(0)
    # Header and vocabulary end well before a tenth of the file.
    for place in dice.sample(range(len(data) // 10, len(data)), len(data) // 10_000):
        data[place] ^= 1 << dice.randrange(8)
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(data)
    assert right(serve(model=damaged), FEW) <= FAILS
