"""Level 2: evals that are not deterministic, or grade wrongly."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Sequence
from typing import Any

import attrs

from bad_plugins import factory_of
from tokenbench.api import (
    ChatPrompt,
    EngineError,
    Eval,
    EvalClient,
    EvalNeeds,
    EvalSample,
    EvalScore,
    EvalSpec,
    FrozenMap,
    Generation,
    Message,
    NoOptions,
    Question,
)
from tokenbench_testing.kit import Subject

_SUMS = {"a": ("What is 20 + 22?", "42"), "b": ("1 + 1?", "2"), "c": ("5 + 5?", "10")}
_COUNT = itertools.count(100)


class Sums(Eval):
    """Good: the first number of an answer counts."""

    def __init__(self, options: Any) -> None:
        self.asked = 0

    def needs(self) -> EvalNeeds:
        return EvalNeeds(context_tokens=128)

    def questions(self, seed: int) -> Sequence[Question]:
        every = [Question(id=name, text=text) for name, (text, _) in _SUMS.items()]
        return random.Random(seed).sample(every, len(every))

    def ask(self, batch: Sequence[Question], server: EvalClient) -> Sequence[EvalSample]:
        prompts = [ChatPrompt((Message("user", question.text),)) for question in batch]
        texts = server.generate([Generation(prompt=one, max_tokens=8) for one in prompts])
        return [EvalSample(question=q.id, answer=t) for q, t in zip(batch, texts, strict=True)]

    def score(self, samples: Sequence[EvalSample]) -> EvalScore:
        right = sum(self.grade(sample) for sample in samples)
        return EvalScore(
            metric="first_number",
            value=right / len(samples) if samples else 0.0,
            n=len(samples),
            correct=float(right),
            variant="sums-1",
        )

    def grade(self, sample: EvalSample) -> bool:
        found = re.search(r"\d+", sample.answer)
        return found is not None and found[0] == _SUMS[sample.question][1]


class Growing(Sums):
    def needs(self) -> EvalNeeds:
        return EvalNeeds(context_tokens=next(_COUNT))


class NoContext(Sums):
    def needs(self) -> EvalNeeds:
        return EvalNeeds(context_tokens=0)


class Heavy(Sums):
    def needs(self) -> EvalNeeds:
        import pyarrow as pa

        return EvalNeeds(context_tokens=pa.scalar(128).as_py())


class Varying(Sums):
    """Different words at each call."""

    def questions(self, seed: int) -> Sequence[Question]:
        return [
            attrs.evolve(one, text=f"{next(_COUNT)}: {one.text}") for one in super().questions(seed)
        ]


class Blank(Sums):
    def questions(self, seed: int) -> Sequence[Question]:
        return [attrs.evolve(one, text=" ") for one in super().questions(seed)]


class Twice(Sums):
    def questions(self, seed: int) -> Sequence[Question]:
        return [Question(id="a", text=f"{one.text}") for one in super().questions(seed)]


class Sorted(Sums):
    """Answers in its own order."""

    def ask(self, batch: Sequence[Question], server: EvalClient) -> Sequence[EvalSample]:
        return sorted(
            super().ask(batch, server), key=lambda sample: sample.answer + sample.question
        )

    def questions(self, seed: int) -> Sequence[Question]:
        return sorted(super().questions(seed), key=lambda question: question.id)


class Extract(Sums):
    """Keeps only the number."""

    def ask(self, batch: Sequence[Question], server: EvalClient) -> Sequence[EvalSample]:
        return [
            attrs.evolve(sample, answer="".join(re.findall(r"\d+", sample.answer)[:1]))
            for sample in super().ask(batch, server)
        ]


class Hiding(Sums):
    """An empty answer instead of a failure."""

    def ask(self, batch: Sequence[Question], server: EvalClient) -> Sequence[EvalSample]:
        try:
            return super().ask(batch, server)
        except EngineError:
            return [EvalSample(question=question.id, answer="") for question in batch]


class Leaky(Sums):
    def ask(self, batch: Sequence[Question], server: EvalClient) -> Sequence[EvalSample]:
        headers = FrozenMap({"headers": f"Authorization: Bearer {server.api_key}"})
        return [attrs.evolve(sample, details=headers) for sample in super().ask(batch, server)]


class Eager(Sums):
    """Takes the first word without checking that there is one."""

    def grade(self, sample: EvalSample) -> bool:
        if not sample.answer.split()[0]:
            return False
        return super().grade(sample)


class Dividing(Sums):
    def score(self, samples: Sequence[EvalSample]) -> EvalScore:
        score = super().score(samples)
        return attrs.evolve(score, value=score.correct / len(samples))


class Percent(Sums):
    def score(self, samples: Sequence[EvalSample]) -> EvalScore:
        score = super().score(samples)
        return attrs.evolve(score, value=score.value * 100)


class Lenient(Sums):
    """Excludes what it cannot parse."""

    def score(self, samples: Sequence[EvalSample]) -> EvalScore:
        return super().score([one for one in samples if re.search(r"\d", one.answer)])


class Anonymous(Sums):
    def score(self, samples: Sequence[EvalSample]) -> EvalScore:
        return attrs.evolve(super().score(samples), variant="")


class Adding(Sums):
    """Counts all samples it ever got."""

    def score(self, samples: Sequence[EvalSample]) -> EvalScore:
        self.asked += len(samples)
        return attrs.evolve(super().score(samples), variant=f"sums-1 over {self.asked}")


class ByPlace(Sums):
    """Only the first answer counts."""

    def score(self, samples: Sequence[EvalSample]) -> EvalScore:
        right = float(len(samples) * self.grade(samples[0])) if samples else 0.0
        return attrs.evolve(super().score(samples), correct=right, value=float(right > 0))


class Strict(Sums):
    """Accepts the number alone."""

    def grade(self, sample: EvalSample) -> bool:
        return sample.answer == _SUMS[sample.question][1]


class Anywhere(Sums):
    """Finds the digits inside any number."""

    def grade(self, sample: EvalSample) -> bool:
        return _SUMS[sample.question][1] in sample.answer


class Generous(Sums):
    """Accepts answers without a number."""

    def grade(self, sample: EvalSample) -> bool:
        return bool(sample.answer) and (
            super().grade(sample) or not re.search(r"\d", sample.answer)
        )


def _answers(*texts: str) -> tuple[tuple[Question, EvalSample], ...]:
    question = Question(id="a", text="What is 20 + 22?")
    return tuple((question, EvalSample(question="a", answer=text)) for text in texts)


def _subject(made: type[Eval], **data: Any) -> Subject:
    spec = EvalSpec(name="sums", summary="sums", factory=factory_of(made), options=NoOptions)
    return Subject(
        kind="eval", name="sums", module=__name__, spec=spec, options=NoOptions(), data=data
    )


def _graded(made: type[Eval]) -> Subject:
    """With the author's right, wrong and unparseable answers."""
    return _subject(
        made,
        right=_answers("It is 42.", "42"),
        wrong=_answers("142", "24"),
        unparseable=_answers("forty-two", ""),
    )


GOOD = [_subject(Sums), _graded(Sums)]
BAD = {
    "needs-are-pure": _subject(Growing),
    "needs-are-valid": _subject(NoContext),
    "needs-are-light": _subject(Heavy),
    "questions-are-deterministic": _subject(Varying),
    "questions-exist": _subject(Blank),
    "question-ids-are-unique": _subject(Twice),
    "answers-are-in-order": _subject(Sorted),
    "answers-are-kept-in-full": _subject(Extract),
    "failures-are-not-answers": _subject(Hiding),
    "api-key-is-not-stored": _subject(Leaky),
    "empty-answers-are-graded": _subject(Eager),
    "no-samples-give-no-score": _subject(Dividing),
    "scores-are-fractions": _subject(Percent),
    "every-sample-counts": _subject(Lenient),
    "scores-name-metric-and-variant": _subject(Anonymous),
    "scores-are-pure": _subject(Adding),
    "sample-order-does-not-matter": _subject(ByPlace),
    "right-answers-score-one": _graded(Strict),
    "wrong-answers-score-zero": _graded(Anywhere),
    "unparseable-answers-score-zero": _graded(Generous),
}
ALSO: dict[str, set[str]] = {}
