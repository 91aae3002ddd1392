"""Conversations: a question, two parallel checks of the answer, and a final turn after both."""

import dataclasses
import random
from collections.abc import Iterator

from tokenbench import api

WORDS = ("answer", "bench", "chip", "power", "prompt", "server", "the", "token", "user", "word")


@api.options
class Options:
    rules_words: int = api.option(default=64, minimum=1, unit="words", help="start of all prompts")
    question_words: int = api.option(default=8, minimum=1, unit="words", help="first question")
    answer_tokens: int = api.option(default=16, minimum=1, unit="tokens", help="output limit")
    think_s: float = api.option(default=0.0, minimum=0, unit="s", help="pause before the end")


@dataclasses.dataclass
class Talk(api.Session):
    options: Options
    chat: bool
    said: str
    checks: int = 0

    def next(self, previous: api.TurnResult | None) -> api.Turn | tuple[api.Turn, ...] | None:
        if previous is None:
            return self.turn("", "ask")
        self.said += f" {previous.text}"
        if previous.number == 0 and previous.ok:  # A fork: both are sent at once.
            return self.turn(" is it true", "check", 0), self.turn(" is it clear", "check", 0)
        self.checks += previous.number in (1, 2)
        if previous.number < 3 and self.checks == 2:  # A join: it fails if a check failed.
            return self.turn(" so what", "conclude", 1, 2)
        return None

    def turn(self, more: str, label: str, *parents: int) -> api.Turn:
        return api.Turn(
            prompt=as_prompt(self.said + more, self.chat),
            max_tokens=self.options.answer_tokens,
            label=label,
            parents=parents,
            delay_s=self.options.think_s if label == "conclude" else 0.0,
        )


def as_prompt(text: str, chat: bool) -> api.Prompt:
    return api.ChatPrompt((api.Message("user", text),)) if chat else api.TextPrompt(text)


class TinyTalk(api.Workload):
    def __init__(self, options: Options, context: api.PluginContext) -> None:
        self._options = options

    def rules(self, seed: int) -> str:
        return " ".join(random.Random(seed).choices(WORDS, k=self._options.rules_words))

    def sessions(self, context: api.WorkloadContext, seed: int) -> Iterator[api.Session]:
        draw = random.Random(f"questions {seed}")
        while True:
            question = " ".join(draw.choices(WORDS, k=self._options.question_words))
            yield Talk(self._options, context.chat, f"{self.rules(seed)} {question}")

    def priming(self, context: api.WorkloadContext, seed: int) -> Iterator[api.Session]:
        prompt = as_prompt(self.rules(seed), context.chat)
        yield api.SingleTurn(api.Turn(prompt=prompt, max_tokens=1))


@api.hookimpl
def bench_register_workloads() -> list[api.WorkloadSpec]:
    summary = "conversations with parallel checks and shared rules"
    facts = {"options": Options, "factory": TinyTalk, "multi_turn": True, "primes": True}
    return [api.WorkloadSpec(name="tinytalk", summary=summary, **facts)]
