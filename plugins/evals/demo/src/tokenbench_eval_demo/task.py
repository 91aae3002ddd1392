"""The task: short questions with short answers, asked greedily through the chat codec."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING

import attrs

from tokenbench.api import (
    ChatPrompt,
    Eval,
    EvalClient,
    EvalNeeds,
    EvalSample,
    EvalScore,
    Generation,
    Message,
    Question,
)

from .grading import is_right

if TYPE_CHECKING:
    from .plugin import DemoOptions

VARIANT = "demo-1"
ANSWER_TOKENS = 16
# The longest question with SmolLM2's chat template has 42 tokens; other templates are longer.
_CONTEXT_TOKENS = 192


@attrs.frozen
class Item:
    """A question and its accepted answers."""

    id: str
    question: str
    answers: tuple[str, ...]


def items() -> tuple[Item, ...]:
    """All items, in order."""
    text = resources.files(__package__).joinpath("items.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    return tuple(Item(row["id"], row["question"], tuple(row["answers"])) for row in rows)


class DemoEval(Eval):
    """Grades with :func:`is_right`."""

    def __init__(self, options: DemoOptions) -> None:
        self._limit = options.limit

    def needs(self) -> EvalNeeds:
        """A chat codec and little context."""
        return EvalNeeds(context_tokens=_CONTEXT_TOKENS)

    def questions(self, seed: int) -> Sequence[Question]:
        """All questions, or a sample without replacement."""
        selected = list(items())
        if self._limit is not None and self._limit < len(selected):
            selected = random.Random(seed).sample(selected, self._limit)
        return [Question(id=item.id, text=item.question) for item in selected]

    def ask(self, batch: Sequence[Question], server: EvalClient) -> Sequence[EvalSample]:
        """One user message per question."""
        texts = server.generate(
            [
                Generation(
                    prompt=ChatPrompt((Message("user", question.text),)), max_tokens=ANSWER_TOKENS
                )
                for question in batch
            ]
        )
        return [EvalSample(question=q.id, answer=t) for q, t in zip(batch, texts, strict=True)]

    def score(self, samples: Sequence[EvalSample]) -> EvalScore:
        """The fraction of right answers."""
        answers = {item.id: item.answers for item in items()}
        right = sum(is_right(sample.answer, answers[sample.question]) for sample in samples)
        return EvalScore(
            metric="exact_word",
            value=right / len(samples) if samples else 0.0,
            n=len(samples),
            correct=float(right),
            variant=VARIANT,
        )
