"""The task: which number belongs to this place? It stands somewhere in a long text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tokenbench.api import (
    ChatPrompt,
    Eval,
    EvalClient,
    EvalNeeds,
    EvalSample,
    EvalScore,
    FrozenMap,
    Generation,
    Message,
    Question,
)

from .text import Hidden, hidden

if TYPE_CHECKING:
    from .plugin import LongContextOptions

# Prompts are estimated in words: they may be a fifth longer. The template takes some tokens, too.
_LONGER, _TEMPLATE_TOKENS = 1.2, 128
_NUMBER = re.compile(r"\d[\d,. ]*\d|\d")


class LongContextEval(Eval):
    """Generated retrieval. Each question has a text of its own, so no prefix cache helps."""

    def __init__(self, options: LongContextOptions) -> None:
        self._options = options

    def needs(self) -> EvalNeeds:
        """A chat codec, and the context of the longest prompt."""
        longest = round(_LONGER * self._options.input_tokens) + _TEMPLATE_TOKENS
        return EvalNeeds(context_tokens=longest + self._options.max_tokens)

    def questions(self, seed: int) -> Sequence[Question]:
        """As many as asked, over all depths. The seed is in the id: it makes the texts."""
        return [self._question(number, seed) for number in range(self._options.limit)]

    def ask(self, batch: Sequence[Question], server: EvalClient) -> Sequence[EvalSample]:
        """The whole text in one user message; graded here, where the number is known."""
        texts = [self._hidden(question.id) for question in batch]
        answers = server.generate(
            [
                Generation(
                    prompt=ChatPrompt((Message("user", _prompt(text)),)),
                    max_tokens=self._options.max_tokens,
                )
                for text in texts
            ]
        )
        return [
            EvalSample(
                question=question.id,
                answer=answer,
                score=float(is_right(answer, text.number)),
                details=FrozenMap({"number": str(text.number), "depth": f"{text.depth}/10"}),
            )
            for question, answer, text in zip(batch, answers, texts, strict=True)
        ]

    def score(self, samples: Sequence[EvalSample]) -> EvalScore:
        """The fraction of right numbers; by depth beside it."""
        right = sum(sample.score or 0.0 for sample in samples)
        return EvalScore(
            metric="found",
            value=right / len(samples) if samples else 0.0,
            n=len(samples),
            correct=right,
            variant=f"longcontext-1, {self._options.input_tokens} tokens, "
            f"{self._options.facts} facts",
            others=_thirds(samples),
        )

    def _question(self, number: int, seed: int) -> Question:
        text = self._hidden(f"{seed}-{number}")
        asked = f"The number of {text.place} is {text.number}, at depth {text.depth}/10"
        return Question(id=f"{seed}-{number}", text=asked, stratum=str(text.depth))

    def _hidden(self, question: str) -> Hidden:
        seed, _, number = question.rpartition("-")
        options = self._options
        return hidden(
            int(number), int(seed), input_tokens=options.input_tokens, facts=options.facts
        )


def _prompt(text: Hidden) -> str:
    return (
        "Read the following text. Some sentences in it name the secret number of a place.\n\n"
        f"{text.text}\n\nWhat is the secret number of {text.place}? Answer with the number only."
    )


def is_right(answer: str, number: int) -> bool:
    """Whether the only number that an answer names is the right one; separators do not matter."""
    answer = answer.rpartition("</think>")[2]
    found = {re.sub(r"\D", "", one) for one in _NUMBER.findall(answer)}
    return found == {str(number)}


def _thirds(samples: Sequence[EvalSample]) -> FrozenMap[float]:
    """The score at the beginning, in the middle and at the end of the texts."""
    parts: dict[str, list[float]] = {"beginning": [], "middle": [], "end": []}
    for sample in samples:
        depth = int(sample.details["depth"].partition("/")[0])
        name = "beginning" if depth < 3 else "middle" if depth < 7 else "end"
        parts[name].append(sample.score or 0.0)
    return FrozenMap({f"found,{name}": sum(p) / len(p) for name, p in parts.items() if p})
