"""An eval: the capitals of ten countries. An answer is right if it names the city."""

import random
from collections.abc import Sequence

from tokenbench import api

CAPITALS = {
    "Austria": "Vienna",
    "Cuba": "Havana",
    "Egypt": "Cairo",
    "France": "Paris",
    "Greece": "Athens",
    "Italy": "Rome",
    "Japan": "Tokyo",
    "Norway": "Oslo",
    "Peru": "Lima",
    "Spain": "Madrid",
}


@api.options
class Options:
    limit: int = api.option(default=10, minimum=1, unit="questions", help="how many are asked")


class TinyQuiz(api.Eval):
    def __init__(self, options: Options, context: api.PluginContext) -> None:
        self._limit = min(options.limit, len(CAPITALS))

    def needs(self) -> api.EvalNeeds:
        return api.EvalNeeds(codec=api.CHAT, context_tokens=128)

    def questions(self, seed: int) -> Sequence[api.Question]:
        chosen = random.Random(seed).sample(sorted(CAPITALS), self._limit)
        return [api.Question(id=c, text=f"What is the capital of {c}?") for c in chosen]

    def ask(
        self, batch: Sequence[api.Question], server: api.EvalClient
    ) -> Sequence[api.EvalSample]:
        prompts = [api.ChatPrompt((api.Message("user", one.text),)) for one in batch]
        answers = server.generate([api.Generation(prompt=p, max_tokens=24) for p in prompts])
        return [
            api.EvalSample(question=one.id, answer=answer)
            for one, answer in zip(batch, answers, strict=True)
        ]

    def score(self, samples: Sequence[api.EvalSample]) -> api.EvalScore:
        right = sum(CAPITALS[one.question].lower() in one.answer.lower() for one in samples)
        return api.EvalScore(
            metric="named",
            value=right / len(samples) if samples else 0.0,
            n=len(samples),
            correct=float(right),
            variant="tinyquiz-1",
        )


@api.hookimpl
def bench_register_evals() -> list[api.EvalSpec]:
    spec = api.EvalSpec(
        name="tinyquiz", summary="capitals of ten countries", options=Options, factory=TinyQuiz
    )
    return [spec]
