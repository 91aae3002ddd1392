"""The gate against real servers: a sound one passes, damaged ones fail.

The bounds are those at which Wilson's 95 % interval of 40 questions lies wholly above or below 0.5:
27 right answers or more, 13 or fewer.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenbench_eval_demo.plugin import DemoOptions
from tokenbench_eval_demo.task import DemoEval

from tokenbench.api import EvalServer

pytestmark = pytest.mark.real
QUESTIONS = 40
PASSES, FAILS = 27, 13
Serve = Callable[..., EvalServer]

# The template of another family (Llama 2), as a mistaken --chat-template gives it.
LLAMA2 = "{% for m in messages %}{{ '<s>[INST] ' + m['content'] + ' [/INST]' }}{% endfor %}"
NO_USER = "{{ '<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n' }}"


def right(server: EvalServer, seed: int = 0) -> float:
    """How many of a sample of questions the server answers."""
    task = DemoEval(DemoOptions(limit=QUESTIONS))
    return task.score(task.ask(task.questions(seed), server)).correct


def test_a_sound_server_passes(serve: Serve) -> None:
    """The model as it is answers enough, but not everything: the score is not a constant."""
    assert PASSES <= right(serve()) < QUESTIONS


@pytest.mark.parametrize("template", [LLAMA2, NO_USER], ids=["llama2", "no-user"])
def test_a_wrong_chat_template_fails(serve: Serve, template: str) -> None:
    """The same weights behind a wrong chat template fail the gate."""
    assert right(serve(template=template)) <= FAILS


def test_damaged_weights_fail(serve: Serve, weights: Path, tmp_path: Path) -> None:
    """One flipped bit in each ten thousandth byte of the tensors fails the gate; it still loads."""
    data = bytearray(weights.read_bytes())
    dice = random.Random(0)
    # Header and vocabulary end well before a tenth of the file.
    for place in dice.sample(range(len(data) // 10, len(data)), len(data) // 10_000):
        data[place] ^= 1 << dice.randrange(8)
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(data)
    assert right(serve(model=damaged)) <= FAILS
