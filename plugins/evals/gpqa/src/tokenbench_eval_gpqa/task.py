"""The task: a question, four choices in a random order, reasoning, one letter."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

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
    stratified_subset,
)

from .data import Item, data_file, read_items

if TYPE_CHECKING:
    from .plugin import GpqaOptions

LETTERS = "ABCD"
# The longest question of the diamond set has about 1,400 tokens.
_PROMPT_TOKENS = 2048
_SAID = re.compile(r"answer\s*(?:is|:)\s*[*$\\{}a-z]*\(?\s*([A-D])\b", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{\s*(?:\\text\{)?\s*\(?([A-D])\)?\s*\}")
_MARKED = re.compile(r"(?:\(|\*\*\(?)([A-D])(?:\)|\*\*)")
_ALONE = re.compile(r"^\W*([A-D])\W*$")


@attrs.frozen
class Asked:
    """A question as it is asked: the choices in their order, and the letter of the right one."""

    text: str
    right: str


def asked(item: Item, shuffle_seed: int) -> Asked:
    """The prompt of an item. The order of its choices depends on the seed and the item alone."""
    choices = [item.right, *item.wrong]
    order = list(range(len(choices)))
    random.Random(f"{shuffle_seed} {item.id}").shuffle(order)
    listed = "\n".join(f"({LETTERS[i]}) {choices[k]}" for i, k in enumerate(order))
    return Asked(
        text=f"{item.question}\n\n{listed}\n\nThink step by step. End with one line that says "
        '"The answer is (X)", where X is the letter of your choice.',
        right=LETTERS[order.index(0)],
    )


def chosen(answer: str) -> str | None:
    """The chosen letter: the last one stated as the answer, else the last in a box, in parentheses
    or in bold, else the letter that is the whole last line, else None.
    """
    for pattern in (_SAID, _BOXED, _MARKED):
        found = pattern.findall(answer)
        if found:
            return str(found[-1]).upper()
    lines = answer.strip().splitlines()
    alone = _ALONE.match(lines[-1]) if lines else None
    return alone[1] if alone else None


class GpqaEval(Eval):
    """Chain of thought without examples, greedy."""

    def __init__(self, options: GpqaOptions) -> None:
        self._options = options
        self._file: Path = data_file(options.data)
        self._items: dict[str, Item] = {}

    def needs(self) -> EvalNeeds:
        """A chat codec, and context for the reasoning."""
        return EvalNeeds(context_tokens=_PROMPT_TOKENS + self._options.max_tokens)

    def questions(self, seed: int) -> Sequence[Question]:
        """All questions, or a stratified sample by domain."""
        every = [
            Question(id=item.id, text=item.question, stratum=item.domain)
            for item in self._by_id().values()
        ]
        return stratified_subset(every, self._options.limit, seed)

    def ask(self, batch: Sequence[Question], server: EvalClient) -> Sequence[EvalSample]:
        """One user message per question; graded here, where the order of choices is known."""
        made = [asked(self._by_id()[one.id], self._options.shuffle_seed) for one in batch]
        texts = server.generate(
            [
                Generation(
                    prompt=ChatPrompt((Message("user", one.text),)),
                    max_tokens=self._options.max_tokens,
                )
                for one in made
            ]
        )
        return [
            _graded(question, text, one.right)
            for question, text, one in zip(batch, texts, made, strict=True)
        ]

    def score(self, samples: Sequence[EvalSample]) -> EvalScore:
        """The fraction of right letters; an answer without a letter is wrong."""
        right = sum(sample.score or 0.0 for sample in samples)
        return EvalScore(
            metric="right_letter",
            value=right / len(samples) if samples else 0.0,
            n=len(samples),
            correct=right,
            variant=f"gpqa-1, 0-shot, choices shuffled with {self._options.shuffle_seed}",
        )

    def _by_id(self) -> dict[str, Item]:
        if not self._items:
            self._items = {item.id: item for item in read_items(self._file)}
        return self._items


def _graded(question: Question, text: str, right: str) -> EvalSample:
    letter = chosen(text.rpartition("</think>")[2])
    return EvalSample(
        question=question.id,
        answer=text,
        score=float(letter == right),
        details=FrozenMap({"chosen": letter or "none", "right": right}),
    )
