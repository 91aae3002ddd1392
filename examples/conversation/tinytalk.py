"""Conversations: each question after the first uses the last word of the previous answer."""

import dataclasses
import random
from collections.abc import Iterator

from tokenbench import api

WORDS = ("answer", "bench", "chip", "power", "prompt", "server", "the", "token", "user", "word")


@api.options
class Options:
    turns: int = api.option(default=2, minimum=2, help="questions in a conversation")
    question_words: int = api.option(default=8, minimum=1, unit="words", help="first question")
    answer_tokens: int = api.option(default=16, minimum=1, unit="tokens", help="output limit")
    think_s: float = api.option(default=0.0, minimum=0, unit="s", help="pause before a question")


@dataclasses.dataclass
class Talk(api.Session):
    options: Options
    chat: bool
    said: tuple[api.Message, ...]

    def next(self, previous: api.TurnResult | None) -> api.Turn | None:
        options, pause_s = self.options, 0.0
        if previous is not None:
            if not previous.ok or previous.number + 1 == options.turns:
                return None
            word = (previous.text.split() or ["it"])[-1]
            question = api.Message("user", f"what about {word}")
            self.said = (*self.said, api.Message("assistant", previous.text), question)
            pause_s = options.think_s
        text = "\n".join(message.content for message in self.said)
        prompt = api.ChatPrompt(self.said) if self.chat else api.TextPrompt(text)
        return api.Turn(prompt=prompt, max_tokens=options.answer_tokens, delay_s=pause_s)


class TinyTalk(api.Workload):
    def __init__(self, options: Options) -> None:
        self._options = options

    def sessions(self, context: api.WorkloadContext, seed: int) -> Iterator[api.Session]:
        draw = random.Random(seed)
        while True:
            question = " ".join(draw.choices(WORDS, k=self._options.question_words))
            yield Talk(self._options, context.chat, (api.Message("user", question),))


@api.hookimpl
def bench_register_workloads() -> list[api.WorkloadSpec]:
    spec = api.WorkloadSpec(
        name="tinytalk",
        summary="conversations whose questions depend on the previous answer",
        options=Options,
        factory=TinyTalk,
        multi_turn=True,
    )
    return [spec]
